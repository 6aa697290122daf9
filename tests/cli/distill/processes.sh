# Two processes with half of each batch compute what one does, up to rounding. Needs a build with SQUEEZE_MPI.
ldd "$(readlink -f "$(command -v squeeze)")" | grep -q libmpi || { echo "no MPI in this build" >&2; exit 77; }
command -v mpirun >/dev/null || { echo "mpirun is not installed" >&2; exit 77; }
train=(squeeze distill --teacher model.onnx --student width=0.5 --data train.npz --valid valid.npz --epochs 3 --batch 32 --mixup 0.1
    --quiet --json)
"${train[@]}" -o one.onnx >one
mpirun --allow-run-as-root --oversubscribe -n 2 "${train[@]}" -o two.onnx >two
jq -s '.[0].training.epochs[].loss' two >two.loss
jq '.training.epochs[].loss' one >one.loss
[ "$(wc -l <two.loss)" = 3 ]
paste one.loss two.loss | awk '{ if (($1 - $2) ^ 2 > ($1 * 1e-4) ^ 2) exit 1 }'
squeeze evaluate one.onnx --data test.npz --against two.onnx --metric agreement --json |
    jq -e '.accuracy.metrics.agreement.value > 0.99' >/dev/null
