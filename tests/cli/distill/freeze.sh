# What is frozen stays to the bit; the rest moves.
squeeze distill model.onnx --data train.npz --valid valid.npz --epochs 2 --freeze 'conv' -o out.onnx --json >report
jq -e '.training.trained == 516' report >/dev/null
squeeze run model.onnx --inputs in.npz -o before.npz >/dev/null
squeeze run out.onnx --inputs in.npz -o after.npz >/dev/null
cmp -s before.npz after.npz && exit 1 || true
squeeze distill model.onnx --data train.npz --valid valid.npz --epochs 1 --until relu --loss 'hint(pairs=relu)' \
    --teacher model.onnx --freeze 'fc.*' -o cut.onnx 2>/dev/null && exit 1 || [ $? = 2 ]
