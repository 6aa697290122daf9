# A model of constants alone has nothing to be fed.
squeeze run constant.onnx --inputs in.npz -o out.npz --json >a.json
jq -e '.outputs[0] | .name == "numbers" and .min == 1 and .max == 3' a.json >/dev/null
