squeeze prepare idx.yaml -o set.h5 --json >a.json
jq -e '.command == "prepare"' a.json >/dev/null
# twice the same bytes, whatever the number of threads
squeeze prepare idx.yaml -o again.h5 -j 1 >/dev/null
cmp set.h5 again.h5
# the set feeds the other commands: split `test` is the 256 test images
squeeze evaluate model.onnx --data set.h5 --json >e.json
squeeze evaluate model.onnx --data test.npz --json >n.json
jq -e '.accuracy.samples == 256' e.json >/dev/null
[ "$(jq .accuracy.metrics.top1.value e.json)" = "$(jq .accuracy.metrics.top1.value n.json)" ]
