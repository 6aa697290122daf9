# JUnit, Markdown and annotations tell the same story as the exit code.
squeeze check model.onnx --device ./tiny.yaml --junit a.xml --markdown a.md --github >annotations 2>/dev/null && exit 1
[ $? -eq 1 ]
broken=$(squeeze check model.onnx --device ./tiny.yaml --json 2>/dev/null | jq '[.checks[] | select(.holds | not)] | length')
[ "$broken" -ge 1 ]
grep -q "failures=\"$broken\"" a.xml
[ "$(grep -c '<failure' a.xml)" = "$broken" ]
[ "$(grep -c '^::error file=model.onnx' annotations)" = "$broken" ]
grep -q broken a.md
