squeeze list
squeeze list --json | jq -e '.tables | length == 14' >/dev/null
