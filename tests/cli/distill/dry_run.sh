# What would be done, and nothing is.
squeeze distill --teacher model.onnx --student width=0.5 --data train.npz --valid valid.npz --epochs 7 --batch 64 \
    -o out.onnx --dry-run --json >report
jq -e '.dry_run and .steps == 28 and .trained > 0 and .memory_bytes > 0 and .estimated_seconds > 0' report >/dev/null
[ -z "$(find . -name 'out.onnx*')" ]
