# No room: exit 3, the old model stays, nothing is left behind.
echo old >a.onnx
(ulimit -f 1 && squeeze quantize model.onnx --data train.npz -o a.onnx >out 2>error) && exit 1
[ $? -eq 3 ]
grep -q "cannot write 'a.onnx'\|cannot write '.*a.onnx'" error
[ "$(cat a.onnx)" = old ]
[ "$(ls -A | grep -c tmp)" = 0 ]
squeeze quantize model.onnx --data train.npz -o /dev/full >out 2>error && exit 1
[ $? -eq 3 ]
