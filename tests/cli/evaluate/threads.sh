# The figures of an int8 model do not depend on threads, batch or instruction set.
squeeze quantize model.onnx --data train.npz -o int8.onnx >/dev/null
figures() { squeeze evaluate int8.onnx --data test.npz --json "$@" | jq -S '.accuracy | del(.samples_per_second)'; }
figures -j 1 --batch 1 >a
figures -j 2 --batch 64 >b
SQZ_CPU=scalar figures -j 2 >c
cmp a b
cmp a c
