# Weights go back into the Keras file: it computes what the int8 model computes, but for rounding.
squeeze quantize model.h5 --data train.npz -o int8.onnx >/dev/null
squeeze export int8.onnx --keras model.h5 -o out.h5
cmp -s out.h5 model.h5 && exit 1
squeeze evaluate out.h5 --data valid.npz --against int8.onnx --json >a.json
jq -e '.accuracy.metrics.agreement.value > 0.97' a.json >/dev/null
squeeze export int8.onnx --keras model.h5 -o again.h5 >/dev/null
cmp out.h5 again.h5
squeeze export int8.onnx --keras model.h5 --dry-run -o dry.h5 >/dev/null
[ ! -e dry.h5 ]
