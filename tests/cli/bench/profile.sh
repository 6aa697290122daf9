# Where the time goes: relu runs with the convolution in front of it, pools and products have lines of their own.
squeeze bench model.onnx --repeat 3 --profile -j 1
squeeze bench model.onnx --repeat 3 --profile --html a.html --json >a.json
jq -e '.profile.nodes | length >= 3 and all(.seconds > 0) and ([.[].share] | add | . > 0.99 and . <= 1.0001)' a.json >/dev/null
jq -e '.profile | .runs >= 3 and .samples == .runs and .peaks.float_gops > 0.1 and .peaks.int8_gops > 0.1' a.json >/dev/null
jq -e '.profile.nodes | any(.gops > 0 and .of_peak > 0 and .of_peak < 1.5)' a.json >/dev/null
# the first convolution reads the picture once and its weights
jq -e '.profile.nodes[0] | .read_bytes == 4 * (64 + 8 * 9 + 8)' a.json >/dev/null
grep -q "Time of each node" a.html
