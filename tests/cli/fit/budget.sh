squeeze fit model.onnx --data train.npz --test test.npz --device ./tiny.yaml -o fitted --budget '2 trials' --json >a.json
jq -e '.trials | length <= 2' a.json >/dev/null
squeeze fit model.onnx --data train.npz --device ./tiny.yaml -o fitted --budget 'much'
