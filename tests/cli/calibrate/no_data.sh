squeeze calibrate model.onnx -o ranges.json
