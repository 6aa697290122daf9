squeeze check model.onnx --device ./tiny.yaml
