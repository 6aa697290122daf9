squeeze inspect model.onnx --device ./tiny.yaml
