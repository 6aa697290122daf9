squeeze quantize model.onnx --data train.npz -o int8.onnx >/dev/null
squeeze check int8.onnx --device ./tiny.yaml -o base.json
squeeze check int8.onnx --device ./tiny.yaml --baseline base.json >/dev/null
