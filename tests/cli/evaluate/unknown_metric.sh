squeeze evaluate model.onnx --data test.npz --metric top2
