squeeze quantize model.onnx --data train.npz --dry-run -o a.onnx >/dev/null
[ ! -e a.onnx ]
