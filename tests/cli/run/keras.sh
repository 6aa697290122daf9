# The same network as ONNX and as a Keras file, and its architecture and weights in two files.
squeeze evaluate model.onnx --data valid.npz --json | jq -c .accuracy.metrics.top1.value >a
squeeze evaluate model.h5 --data valid.npz --json | jq -c .accuracy.metrics.top1.value >b
squeeze evaluate model.json --weights model.h5 --data valid.npz --json | jq -c .accuracy.metrics.top1.value >c
cmp a b
cmp a c
squeeze inspect model.h5 --json >d.json
jq -e '.inputs[0].name == "image" and .outputs[0].name == "logits" and .batch_free' d.json >/dev/null
squeeze inspect model.json >/dev/null 2>error && exit 1
grep -q -- "--weights" error
