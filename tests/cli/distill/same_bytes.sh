# The same command gives the same bytes: with one thread and two, killed at any moment and begun again or not.
train=(squeeze distill --teacher model.onnx --student width=0.5,init=random --data train.npz --valid valid.npz
    --augment 'shift(most=1),noise(sd=0.05)' --mixup 0.2 --smoothing 0.1 --ema 0.95 --optimizer adamw --decay 0.01
    --clip 1 --epochs 40 --batch 16 --seed 3 --quiet)
"${train[@]}" -o a.onnx -j 1 >/dev/null
"${train[@]}" -o b.onnx -j 2 >/dev/null
cmp a.onnx b.onnx
kills=0
for delay in 0.03 0.05 0.08 0.1 0.13 0.16 0.2 0.25 0.3 0.35; do
    "${train[@]}" -o c.onnx -j $((1 + kills % 2)) >/dev/null &
    sleep $delay
    kill -KILL $! && kills=$((kills + 1)) || true
    wait $! || true
    [ ! -e c.onnx ] || break
done 2>/dev/null
"${train[@]}" -o c.onnx -j 2 >/dev/null
cmp a.onnx c.onnx
[ ! -e c.onnx.training ] || { echo "the checkpoint is left"; exit 1; }
[ $kills -gt 0 ] || { echo "never caught in the middle"; exit 1; }
