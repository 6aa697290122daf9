squeeze inspect model.onnx model.onnx
