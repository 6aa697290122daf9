squeeze inspect no/such/model.onnx
