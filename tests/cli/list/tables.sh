squeeze list
squeeze list --json | jq -e '.tables | length == 10' >/dev/null
