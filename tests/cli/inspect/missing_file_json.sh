# With --json a failure is one document as well.
squeeze inspect no/such/model.onnx --json | jq -e '.exit == 2 and (.error | contains("no/such/model.onnx"))' >/dev/null
