# int8 against float: agreement is counted, each layer has its figure.
squeeze quantize model.onnx --data train.npz -o int8.onnx >/dev/null
squeeze evaluate int8.onnx --data test.npz --against model.onnx --layers --json >a.json
jq -e '.accuracy.metrics | has("agreement")' a.json >/dev/null
jq -e '.accuracy.metrics.agreement.value > 0.95' a.json >/dev/null
jq -e '(.layers | length >= 3) and (.layers[-1].snr_db > 30)' a.json >/dev/null
