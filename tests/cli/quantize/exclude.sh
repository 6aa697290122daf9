squeeze quantize model.onnx --data train.npz --exclude fc -o a.onnx >/dev/null
squeeze inspect a.onnx --json >a.json
jq -e '.nodes[] | select(.name == "fc") | .type == "f32"' a.json >/dev/null
jq -e '.nodes[] | select(.name == "conv") | .type == "s8"' a.json >/dev/null
