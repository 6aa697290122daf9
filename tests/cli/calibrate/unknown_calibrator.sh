squeeze calibrate model.onnx --data train.npz --calibrator entrop -o ranges.json
