# docs/reports.md names every key that a report has.
q="--data train.npz"
squeeze fit model.onnx $q --test test.npz --device ./tiny.yaml -o f >/dev/null
squeeze quantize model.onnx $q -o q.onnx --json >a1
squeeze inspect q.onnx --device ./tiny.yaml --json >a2
squeeze prepare idx.yaml -o s.h5 --json >a3
squeeze calibrate model.onnx $q --json >a4
squeeze evaluate q.onnx --data test.npz --against model.onnx --layers --device ./tiny.yaml --json >a5
squeeze run model.onnx --inputs in.npz --json >a6
squeeze bench model.onnx --repeat 3 --json >a7
squeeze check q.onnx --device ./tiny.yaml --baseline f/report.json --json >a8
squeeze devices --json >a9
squeeze devices cortex-m4 --json >a10
squeeze list --json >a11
squeeze list calib --json >a12
squeeze quantize model.onnx $q --test valid.npz --max-drop '1 pp' --json >a13
squeeze quantize model.onnx $q --test valid.npz --weights auto --max-drop '2 pp' --json >a15
squeeze quantize model.onnx $q --layers --json >a16
squeeze inspect none.onnx --json >a14 2>/dev/null || true
squeeze distill --teacher model.onnx --student width=0.5 $q --test test.npz --epochs 1 -o d.onnx --json >a17
squeeze distill model.onnx $q --dry-run --json >a18
# names of metrics and metadata are data, not keys of the format
jq -r 'del(.metadata) | if .accuracy then .accuracy.metrics |= [.[]] else . end |
    if .reference_accuracy then .reference_accuracy.metrics |= [.[]] else . end | .. | objects | keys[]' a? a?? f/report.json |
    sort -u >keys
[ "$(wc -l <keys)" -gt 80 ]
while read -r key; do
    grep -q "\`$key\`" "$SQZ_SOURCE/docs/reports.md" || echo "docs/reports.md does not name '$key'"
done <keys
