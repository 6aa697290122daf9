# What another command left is refused, until --restart says that it may go.
squeeze distill model.onnx --data train.npz --valid valid.npz --epochs 20000 --batch 16 -o out.onnx >/dev/null 2>&1 &
for i in $(seq 100); do [ -e out.onnx.training ] && break; sleep 0.05; done
kill -TERM $!
wait $! && exit 1 || [ $? = 143 ]
[ -e out.onnx.training ] && [ ! -e out.onnx ]
squeeze distill model.onnx --data train.npz --valid valid.npz --epochs 2 --batch 16 -o out.onnx && exit 1 || echo "exit $?"
squeeze distill model.onnx --data train.npz --valid valid.npz --epochs 2 --batch 16 -o out.onnx --restart >/dev/null
[ -e out.onnx ] && [ ! -e out.onnx.training ]
