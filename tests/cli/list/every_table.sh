# No table is empty, every entry says what it is, text and JSON agree.
for t in $(squeeze list); do
    squeeze list $t >text
    [ -s text ]
    [ -z "$(awk 'NF < 2' text)" ]
    [ "$(squeeze list $t --json | jq '.entries | length')" = "$(wc -l <text)" ]
done
