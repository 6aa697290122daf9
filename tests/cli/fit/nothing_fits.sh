squeeze fit model.onnx --data train.npz --test test.npz --device ./smaller.yaml -o fitted
