# The quantized model itself is trained: its codes and scales are what is judged and written, the same for any threads.
for j in 1 2; do
    squeeze distill model.onnx --qat weights=2,activations=8 --data train.npz --valid valid.npz --test test.npz --epochs 20 \
        --batch 32 -o q$j.onnx -j $j --json >report
done
cmp q1.onnx q2.onnx
jq -e '.training.end == "done" and .accuracy.metrics.top1.value > 0.8' report >/dev/null
jq -e '.training | .untrained < 0.75 and .unquantized > 0.95' report >/dev/null
jq '.accuracy.metrics.top1.value' report >told
squeeze evaluate q1.onnx --data test.npz --json | jq '.accuracy.metrics.top1.value' | cmp - told
squeeze inspect q1.onnx --json | jq -e '.metadata["squeeze.recipe"] | contains("qat=")' >/dev/null
squeeze distill model.onnx --qat weights=4 --freeze conv --data train.npz -o q.onnx && exit 1 || echo "exit $?"
