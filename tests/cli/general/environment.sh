# Wrong values of the documented variables are refused, not ignored.
SQZ_THREADS=many squeeze inspect model.onnx && exit 1
SQZ_LOG=loud squeeze inspect model.onnx && exit 1
SQZ_CPU=abacus squeeze inspect model.onnx
