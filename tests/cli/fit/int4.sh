# int8 does not fit, and the device computes with weights of 4 bits: the layers get bits of their own.
sed 's/flash: 9 KiB/flash: 8.5 KiB/' tiny.yaml >small.yaml
cp small.yaml int8.yaml
echo 'numerics: {weights: [int8], activations: [int8], granularity: per_channel}' >>int8.yaml
echo 'numerics: {weights: [int8, int4], activations: [int8], granularity: per_channel}' >>small.yaml
squeeze fit model.onnx --data train.npz --test test.npz --device ./int8.yaml -o a >/dev/null 2>&1 && exit 1
squeeze fit model.onnx --data train.npz --test test.npz --device ./small.yaml -o b >/dev/null
jq -e '.result.fits and (.trials[-1].recipe | contains("bits=")) and .estimate.flash <= 8704' b/report.json >/dev/null
squeeze check b/model.onnx --device ./small.yaml >/dev/null
