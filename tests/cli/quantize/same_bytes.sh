# Same command, same bytes: twice, with one and two threads, with and without fast kernels.
squeeze quantize model.onnx --data train.npz -o a.onnx -j 1 >/dev/null
squeeze quantize model.onnx --data train.npz -o b.onnx -j 2 >/dev/null
squeeze quantize model.onnx --data train.npz -o c.onnx -j 2 >/dev/null
cmp a.onnx b.onnx
cmp b.onnx c.onnx
