squeeze list
squeeze list --json | jq -e '.tables | length == 8' >/dev/null
