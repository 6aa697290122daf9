squeeze fit model.onnx --seed
