squeeze evaluate model.onnx --data in.npz
