squeeze run model.onnx --frobnicate
