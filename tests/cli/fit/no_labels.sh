# Calibration data without labels: closeness to the float model decides, and the test data has the accuracy.
squeeze fit model.onnx --data unlabeled.npz --test test.npz --device ./tiny.yaml -o fitted >text
grep -q "'unlabeled.npz' has no labels" text
jq -e '.result.fits and .result.metric == "top1" and .result.accuracy > 0.8' fitted/report.json >/dev/null
# of two candidates that fit, the one with the higher signal-to-noise ratio
jq -e '.result.trial as $best | [.trials[] | select(.fits)] | max_by(.accuracy) | .accuracy > 20 and .name == $best' fitted/report.json >/dev/null
# float is as close to itself as can be: where it fits, it wins
squeeze fit model.onnx --data unlabeled.npz --test test.npz --device cortex-m4 -o large >/dev/null
jq -e '.result.trial == "float"' large/report.json >/dev/null
