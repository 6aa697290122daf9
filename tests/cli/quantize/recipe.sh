# Flags, file, name and text of one recipe give one model; the stamp gives it again.
printf 'squeeze_recipe: 1\nper_tensor: true\ncalibrator: minmax\nexclude: [fc]\nmethods: [bias_correct]\n' >r.yaml
squeeze quantize model.onnx --data train.npz --per-tensor --calibrator minmax --exclude fc -o a.onnx --json >a.json
squeeze quantize model.onnx --data train.npz --recipe r.yaml -o b.onnx >/dev/null
squeeze quantize model.onnx --data train.npz --recipe "$(jq -r .recipe a.json)" -o c.onnx >/dev/null
cmp a.onnx b.onnx
cmp b.onnx c.onnx
squeeze inspect a.onnx --json | jq -r '.metadata["squeeze.recipe"]'
squeeze quantize model.onnx --data train.npz --recipe int8 -o d.onnx >/dev/null
squeeze quantize model.onnx --data train.npz -o e.onnx >/dev/null
cmp d.onnx e.onnx
squeeze quantize model.onnx --data train.npz --recipe int9 -o f.onnx && exit 1
printf 'squeeze_recipe: 1\nexclud: [fc]\n' >r.yaml
squeeze quantize model.onnx --data train.npz --recipe r.yaml -o f.onnx && exit 1
squeeze quantize model.onnx --data train.npz --method layout -o f.onnx && exit 1
[ ! -e f.onnx ]
