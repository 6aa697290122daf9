# One document, nothing else; the figures are those that can be counted by hand.
squeeze inspect model.onnx --json >a.json
jq -e '.command == "inspect" and .squeeze_report == 1' a.json >/dev/null
jq -e '.model.macs == 64*8*9 + 128*4' a.json >/dev/null
jq -e '.model.parameters == 8*9 + 8 + 128*4 + 4' a.json >/dev/null
jq -e ".model.sha256 == \"$(sha256sum <model.onnx | cut -d' ' -f1)\"" a.json >/dev/null
