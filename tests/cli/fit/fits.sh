squeeze fit model.onnx --data train.npz --test test.npz --device ./tiny.yaml -o fitted
ls fitted
# The result keeps every limit when it is evaluated on its own, and the float model did not.
squeeze evaluate fitted/model.onnx --data test.npz --against model.onnx --device ./tiny.yaml >/dev/null
squeeze check model.onnx --device ./tiny.yaml >/dev/null 2>&1 && exit 1
jq -e '.result.fits and .result.accuracy > 0.8' fitted/report.json >/dev/null
