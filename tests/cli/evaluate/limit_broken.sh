# The float model does not keep the limits of the board: the report is there, and exit 1.
squeeze evaluate model.onnx --data test.npz --device ./tiny.yaml
