# The smallest model that holds: smaller than int8, and the report has all that was tried and each layer's bits.
q="squeeze quantize model.onnx --data train.npz --test valid.npz"
$q -o int8.onnx >/dev/null
$q --weights auto --max-drop '2 pp' -o a.onnx --json -j 1 >a.json
$q --weights auto --max-drop '2 pp' -o b.onnx -j 2 >/dev/null
cmp a.onnx b.onnx
[ $(stat -c %s a.onnx) -lt $(stat -c %s int8.onnx) ]
was=$(squeeze evaluate model.onnx --data valid.npz --json | jq .accuracy.metrics.top1.value)
now=$(squeeze evaluate a.onnx --data valid.npz --json | jq .accuracy.metrics.top1.value)
jq -en "$was - $now <= 0.02" >/dev/null
jq -e '(.trials | length >= 3) and ([.trials[] | .bytes > 0 and .seconds >= 0] | all)' a.json >/dev/null
jq -e '.mixed_bound <= .mixed_loss * 1.000001 and (.mixed | length == 2) and ([.mixed[].bits] | min < 8)' a.json >/dev/null
# What was found is a recipe like any other.
$q --recipe "$(jq -r .recipe a.json)" -o c.onnx >/dev/null
cmp a.onnx c.onnx
# A size is kept; one that nothing keeps is exit 1, and without anything to hold there is nothing to search.
$q --target-size '520 B' -o d.onnx --json >d.json
jq -e '.trials[-1].bytes <= 520' d.json >/dev/null
$q --target-size '20 B' -o e.onnx >/dev/null && exit 1
$q --weights auto -o f.onnx && exit 1
[ ! -e f.onnx ]
