echo 'this is not a model' >text.onnx
squeeze inspect text.onnx
