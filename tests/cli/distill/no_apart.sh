# No split `valid`: a part of the training data is kept apart, always the same one, and the report says so.
squeeze distill model.onnx --data train.npz --epochs 1 -o a.onnx --json | jq -r '.notes[0]'
squeeze distill model.onnx --data train.npz --epochs 1 -o b.onnx --json | jq '.training.samples'
cmp a.onnx b.onnx
