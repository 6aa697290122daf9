squeeze inspect model.onnx --shape image=1,3,8,8
