# An int8 model in floating point as ONNX defines it, and in the integers of a device: both near the float model.
squeeze quantize model.onnx --data train.npz -o int8.onnx -q >/dev/null
squeeze run int8.onnx --inputs in.npz -o device.npz --json >device.json
squeeze run int8.onnx --inputs in.npz -o literal.npz --literal --json >literal.json
squeeze run model.onnx --inputs in.npz --json >float.json
near() { jq -ne --slurpfile a "$1" --slurpfile b "$2" '($a[0].outputs[0].max - $b[0].outputs[0].max) | fabs < 0.1' >/dev/null; }
near device.json float.json
near literal.json float.json
