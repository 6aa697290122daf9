# --name value, --name=value, -o value, -ovalue and -- are one and the same.
for form in "--inputs in.npz -o a.npz -- model.onnx" "--inputs=in.npz --out=a.npz model.onnx" "model.onnx --inputs in.npz -oa.npz"; do
    rm -f a.npz
    squeeze run $form >/dev/null
    [ -s a.npz ]
done
