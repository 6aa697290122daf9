squeeze run model.onnx
