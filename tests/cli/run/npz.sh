squeeze run model.onnx --inputs in.npz -o out.npz --json >a.json
jq -e '.outputs[0].name == "logits"' a.json >/dev/null
# an NPZ is a zip of .npy files
[ "$(head -c 2 out.npz)" = PK ]
squeeze run model.onnx --inputs in.npz -o again.npz -j 1 >/dev/null
cmp out.npz again.npz
