squeeze bench model.onnx --repeat 20 --json >a.json
jq -e '.runs == 20 and .minimum_seconds > 0 and .minimum_seconds <= .median_seconds and .median_seconds <= .p90_seconds' a.json >/dev/null
