# The float model is larger than the int8 one allows: the gate closes, and says by how much.
squeeze quantize model.onnx --data train.npz -o int8.onnx >/dev/null
squeeze check int8.onnx --device cortex-m4 -o base.json >/dev/null
squeeze check model.onnx --device cortex-m4 --baseline base.json
