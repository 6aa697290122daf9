# The limit holds, and what is written keeps it on the data that it was judged on.
squeeze quantize model.onnx --data train.npz --test valid.npz --max-drop '1 pp' -o a.onnx >/dev/null
was=$(squeeze evaluate model.onnx --data valid.npz --json | jq .accuracy.metrics.top1.value)
now=$(squeeze evaluate a.onnx --data valid.npz --json | jq .accuracy.metrics.top1.value)
jq -en "$was - $now <= 0.01 and $was > 0.8" >/dev/null
