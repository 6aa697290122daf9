squeeze fit model.onnx --dry-run=yes
