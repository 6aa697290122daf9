squeeze run model.onnx --inputs train.npz
