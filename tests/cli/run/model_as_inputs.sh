squeeze run model.onnx --inputs model.onnx
