squeeze quantize model.onnx --data train.npz -o no/such/folder/a.onnx
