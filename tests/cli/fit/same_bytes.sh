# Twice the same model, with one and two threads; a scalar machine makes the same too.
squeeze fit model.onnx --data train.npz --test test.npz --device ./tiny.yaml -o a -j 1 >/dev/null
squeeze fit model.onnx --data train.npz --test test.npz --device ./tiny.yaml -o b -j 2 >/dev/null
squeeze fit model.onnx --data train.npz --test test.npz --device ./tiny.yaml -o c -j 2 >/dev/null
cmp a/model.onnx b/model.onnx
cmp b/model.onnx c/model.onnx
