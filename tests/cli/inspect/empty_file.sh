: >empty.onnx
squeeze inspect empty.onnx
