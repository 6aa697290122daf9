# Every prefix is refused with exit 2 and a sentence that names the file.
size=$(stat -c %s model.onnx)
for ((n = 1; n < size; n += 97)); do
    head -c $n model.onnx >cut.onnx
    squeeze inspect cut.onnx >out 2>error && { echo "a prefix of $n bytes was taken"; exit 1; }
    [ $? -eq 2 ]
    grep -q 'cut.onnx' error
    [ ! -s out ]
done
