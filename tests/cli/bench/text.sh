squeeze bench model.onnx --repeat 5 --batch 4 -j 1
