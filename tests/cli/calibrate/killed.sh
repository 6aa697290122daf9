# However early or late a kill comes, the output is the old file or the whole new one.
squeeze calibrate model.onnx --data train.npz -o whole.json >/dev/null
for delay in 0 0.002 0.004 0.006 0.008 0.01 0.012 0.015 0.02 0.03 0.05 0.1; do
    echo old >out.json
    squeeze calibrate model.onnx --data train.npz -o out.json >/dev/null 2>&1 &
    sleep $delay
    kill -KILL $! 2>/dev/null || true
    wait $! 2>/dev/null || true
    cmp -s out.json whole.json || [ "$(cat out.json)" = old ]
done 2>/dev/null
