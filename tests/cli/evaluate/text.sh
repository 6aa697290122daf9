squeeze evaluate model.onnx --data test.npz
