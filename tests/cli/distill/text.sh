# A network from nothing, on labels: chosen on a set of its own, reported on another.
squeeze distill model.onnx --init random --data train.npz --valid valid.npz --test test.npz \
    --epochs 4 --batch 32 -o out.onnx
squeeze evaluate out.onnx --data valid.npz --json | jq -e '.accuracy.metrics.top1.value > 0.8' >/dev/null
squeeze inspect out.onnx --json | jq -e '.metadata["squeeze.recipe"] | startswith("distill ")' >/dev/null
[ ! -e out.onnx.training ]
