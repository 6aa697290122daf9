# What was saved can be edited and given back; a key that is not known is refused, not skipped.
squeeze calibrate model.onnx --data train.npz -o ranges.json >/dev/null
squeeze quantize model.onnx --ranges ranges.json -o a.onnx >/dev/null
sed '/"logits"/s/"hi": [0-9.]*/"hi": 1000/' ranges.json >wide.json
squeeze quantize model.onnx --ranges wide.json -o b.onnx >/dev/null
! cmp -s a.onnx b.onnx
sed 's/"lo":/"low":/' ranges.json >broken.json
squeeze quantize model.onnx --ranges broken.json -o c.onnx
