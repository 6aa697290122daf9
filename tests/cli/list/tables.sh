squeeze list
squeeze list --json | jq -e '.tables | length == 9' >/dev/null
