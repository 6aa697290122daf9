squeeze export model.onnx --keras model.h5 -o out.h5
