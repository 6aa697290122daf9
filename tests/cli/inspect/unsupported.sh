squeeze inspect unsupported.onnx
