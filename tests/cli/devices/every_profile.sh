# Each profile loads, names its source, and is valid JSON.
for d in $(squeeze devices --json | jq -r '.devices[].name'); do
    squeeze devices $d | grep -q '^figures from: .\{20,\}'
    squeeze devices $d --json | jq -e '.source | length > 20' >/dev/null
done
