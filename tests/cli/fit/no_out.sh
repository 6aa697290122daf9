squeeze fit model.onnx --data train.npz --device ./tiny.yaml
