# Every refusal names what is wrong and what to do; exit 2, and nothing is written.
try() {
    squeeze distill "$@" -o out.onnx && echo "not refused" || echo "exit $?"
}
d="--data train.npz --valid valid.npz"
try $d
try model.onnx
try model.onnx --data unlabeled.npz
try --student width=0.5 $d
try model.onnx --student model.onnx $d
try model.onnx $d --init teacher
try model.onnx $d --init rand
try model.onnx $d --loss cf
try model.onnx $d --loss 'ce(weigth=1)'
try model.onnx $d --loss kd
try model.onnx $d --optimizer adaw
try model.onnx $d --schedule cosin
try model.onnx $d --augment flop
try model.onnx $d --batch 1000
try model.onnx $d --freeze nothing
try model.onnx $d --freeze '.*'
try model.onnx $d --replace-head 5
try model.onnx $d --replace-head classes=5
try model.onnx $d --until nowhere
try model.onnx $d --memory 5KB
try model.onnx $d --metric top7
try model.onnx $d --lr -1
try model.onnx $d --loss-graph none.onnx
try model.onnx $d --teacher constant.onnx
try model.onnx $d --teacher none.onnx
squeeze distill model.onnx $d && echo "not refused" || echo "exit $?"
[ ! -e out.onnx ]
