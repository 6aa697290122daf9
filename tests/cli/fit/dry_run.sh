squeeze fit model.onnx --data train.npz --test test.npz --device ./tiny.yaml -o fitted --dry-run >/dev/null
[ ! -e fitted ]
