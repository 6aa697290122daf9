# Without data: samples from what the teacher's batch norms remember. The student answers more like the teacher than before;
# without a teacher there is nothing to make samples from.
squeeze distill --teacher $SQZ_SOURCE/datasets/fashion-cnn/fashion-cnn.onnx --student width=0.5 --data synthetic --samples 16 \
    --epochs 20 --batch 16 --optimizer adam -o free.onnx --json --quiet >report
jq -e '.training.samples == 16 and (.training.epochs[0].reports | map(.name) == ["loss.kd"])' report >/dev/null
jq -e '.training.judged_by == "kl" and (.training.epochs | min_by(.metric).metric) < .training.untrained' report >/dev/null
jq -e '.notes[0] | test("16 samples were made from the statistics of")' report >/dev/null
! squeeze distill free.onnx --data synthetic -o none.onnx
