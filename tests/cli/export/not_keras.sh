squeeze export model.onnx --keras model.onnx -o out.h5
