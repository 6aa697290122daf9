# A flipped bit is refused (exit 2) or makes another valid model (exit 0); it never crashes.
size=$(stat -c %s model.onnx)
for ((i = 0; i < 60; i++)); do
    at=$((i * 7919 % size))
    cp model.onnx flip.onnx
    byte=$(od -An -tu1 -j $at -N 1 model.onnx)
    printf "\\x$(printf %x $((byte ^ (1 << i % 8))))" | dd of=flip.onnx bs=1 seek=$at conv=notrunc status=none
    squeeze inspect flip.onnx >out 2>error && code=0 || code=$?
    [ $code -eq 0 ] || { [ $code -eq 2 ] && [ -s error ] && [ ! -s out ]; } || { echo "byte $at: exit $code"; cat error; exit 1; }
done
