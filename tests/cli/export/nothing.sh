squeeze export model.onnx -o out.h5
