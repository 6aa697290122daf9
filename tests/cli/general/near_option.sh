squeeze fit model.onnx --dta train.npz
