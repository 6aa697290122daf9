squeeze check model.onnx
