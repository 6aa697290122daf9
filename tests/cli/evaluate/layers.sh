# Two models of one architecture: every layer is at its place, none is to blame; the page has their pictures.
squeeze quantize model.onnx --data train.npz -o int8.onnx >/dev/null
squeeze evaluate int8.onnx --data test.npz --against model.onnx --layers --json --html a.html >a.json
jq -e '[.layers[] | .own_snr_db >= .snr_db - 3 and (.picture.counts | add) > 0] | all' a.json >/dev/null
jq -e '(.guilty | length == 0) and (.exclude | length > 0) and ([.exclude[].gain_db] | . == (sort | reverse))' a.json >/dev/null
jq -e '.exclude[0] | .bytes > 0 and .macs > 0' a.json >/dev/null
[ "$(grep -c '<svg' a.html)" = "$(jq '.layers | length' a.json)" ]
! grep -q 'src="\|href="' a.html
# The same with one thread as with two.
squeeze evaluate int8.onnx --data test.npz --against model.onnx --layers --json -j 1 | jq 'del(.seconds, .accuracy.samples_per_second, .reference_accuracy.samples_per_second)' >b.json
jq 'del(.seconds, .accuracy.samples_per_second, .reference_accuracy.samples_per_second)' a.json | cmp - b.json
# A grid that holds a tenth of the values: the layer is named.
squeeze calibrate model.onnx --data train.npz -o r.json >/dev/null
jq '.values.logits |= (.lo /= 40 | .hi /= 40)' r.json >s.json
squeeze quantize model.onnx --ranges s.json --data train.npz -o bad.onnx >out
grep "^- node 'fc' (gemm): own error" out
squeeze evaluate bad.onnx --data test.npz --against model.onnx --layers --json | jq -c .guilty
