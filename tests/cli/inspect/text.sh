squeeze inspect model.onnx
