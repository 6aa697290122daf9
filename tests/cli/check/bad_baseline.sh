echo '{"estimate": {"flash": 1}}' >base.json
squeeze check model.onnx --device cortex-m4 --baseline base.json
