squeeze run model.onnx --inputs in.npz
