# Times are those of the evaluation: as many samples as it saw; int8 layers are told from float ones.
squeeze quantize model.onnx --data train.npz -o int8.onnx >/dev/null
squeeze evaluate int8.onnx --data test.npz --profile --json >a.json
jq -e '.profile.samples == .accuracy.samples and .profile.runs >= 1' a.json >/dev/null
jq -e '.profile.nodes | any(.type == "int8" and (.op | startswith("conv2d")))' a.json >/dev/null
# values that are kept for --layers leave nothing to fuse
squeeze evaluate int8.onnx --data test.npz --against model.onnx --layers --profile --json >b.json
jq -e '[.profile.nodes[] | select(.op == "conv2d")] | length == 1' b.json >/dev/null
