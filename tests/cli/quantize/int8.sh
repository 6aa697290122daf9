squeeze quantize model.onnx --data train.npz -o int8.onnx
squeeze inspect int8.onnx --json | jq -e '[.nodes[] | select(.op == "conv2d" or .op == "gemm") | .type] | all(. == "s8")' >/dev/null
[ $(stat -c %s int8.onnx) -lt $(stat -c %s model.onnx) ]
