# Data of another shape: says both.
squeeze calibrate model.onnx --data in.npz -o ranges.json
