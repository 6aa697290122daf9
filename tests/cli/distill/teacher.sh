# Half the channels, from a teacher: better than the same training without it knew how to begin.
squeeze distill --teacher model.onnx --student width=0.5 --data train.npz --valid valid.npz --epochs 4 --batch 32 \
    -o half.onnx --html half.html --json >report
jq -e '.training.epochs | length == 4 and (.[0].loss > .[3].loss)' report >/dev/null
jq -e '.training.epochs[0].reports | map(.name) == ["loss.ce", "loss.kd"]' report >/dev/null
jq -e '.training.end == "done" and .training.teacher > 0.9' report >/dev/null
squeeze evaluate half.onnx --data test.npz --json | jq -e '.accuracy.metrics.top1.value > 0.85' >/dev/null
squeeze inspect half.onnx --json | jq -e '.metadata["squeeze.teacher_sha256"] | length == 64' >/dev/null
grep -q 'Loss by epoch' half.html
