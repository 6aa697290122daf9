# Each calibrator gives ranges, the same bytes for any number of threads.
for c in $(squeeze list calib | cut -d' ' -f1); do
    squeeze calibrate model.onnx --data train.npz --calibrator $c -o a.json -j 1 >/dev/null
    squeeze calibrate model.onnx --data train.npz --calibrator $c -o b.json -j 2 >/dev/null
    cmp a.json b.json
done
