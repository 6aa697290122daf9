squeeze quantize model.onnx --data train.npz --exclude no_such_node -o a.onnx
