squeeze calibrate model.onnx --data train.npz -o ranges.json
jq -e . ranges.json >/dev/null
