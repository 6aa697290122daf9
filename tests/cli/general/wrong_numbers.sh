# Out of range, not a number, trailing text, too long for 64 bits: each is refused.
for n in 0 -1 x 3x 1025 99999999999999999999 ''; do
    squeeze bench model.onnx --threads="$n" && exit 1
    [ $? -eq 2 ]
done
