#!/bin/bash
# run.sh SQUEEZE FIXTURE WORK CASE.sh: runs one case in a fresh folder that holds the fixture's files, with `squeeze`
# on the path, and compares what it prints and how it ends with CASE.stdout, CASE.stderr and CASE.exit (none: nothing
# printed, exit 0). In expected text "..." stands for anything within a line, and a line of it alone for any lines.
# UPDATE=1 writes the expectations of a case that differs; look at them before committing.
set -u
squeeze=$1 fixture=$2 work=$3 script=$4
expect=${script%.sh}
name=$(basename "$(dirname "$script")").$(basename "$expect")
dir=$work/$name

rm -rf "$dir" && mkdir -p "$dir/bin" "$dir/cwd" || exit 1
ln -s "$squeeze" "$dir/bin/squeeze"
cp "$fixture"/* "$dir/cwd/"
cp "$(dirname "$script")"/../data/* "$dir/cwd/"
unset SQZ_CPU SQZ_LOG SQZ_VERIFY
export SQZ_THREADS=${SQZ_THREADS:-2} PATH=$dir/bin:$PATH LC_ALL=C.UTF-8 SQZ_SOURCE=$(dirname "$script")/../../..

(cd "$dir/cwd" && bash -eu "$script") >"$dir/stdout" 2>"$dir/stderr" </dev/null
code=$?
[ $code -eq 77 ] && { cat "$dir/stderr"; exit 77; }
echo $code >"$dir/exit"

# matches EXPECTED ACTUAL: "..." lines skip ahead to the first line that fits what follows.
matches() {
    awk -v expected="$1" '
    function fits(line, pattern,    n, part, i, at) {
        n = split(pattern, part, /\.\.\./)
        if (n <= 1) return line == pattern
        if (substr(line, 1, length(part[1])) != part[1]) return 0
        line = substr(line, length(part[1]) + 1)
        for (i = 2; i < n; i++) {
            at = index(line, part[i])
            if (part[i] != "" && !at) return 0
            line = substr(line, at + length(part[i]))
        }
        return length(line) >= length(part[n]) && substr(line, length(line) - length(part[n]) + 1) == part[n]
    }
    BEGIN { while ((getline text < expected) > 0) want[++n_want] = text; k = 1 }
    { if (k <= n_want && want[k] == "...") { skip = 1; k++ }
      if (k <= n_want && fits($0, want[k])) { k++; skip = 0 }
      else if (!skip) { printf "line %d is: %s\n   expected: %s\n", NR, $0, k <= n_want ? want[k] : "(nothing)"; bad = 1; exit } }
    END { if (!bad && k <= n_want && want[k] == "...") k++
          if (!bad && k <= n_want) { print "missing: " want[k]; bad = 1 }
          exit bad }' "$2"
}

failed=0
for stream in stdout stderr exit; do
    want=$expect.$stream
    [ -e "$want" ] || want=/dev/null
    [ $stream = exit ] && [ ! -e "$expect.exit" ] && { want=$dir/zero; echo 0 >"$want"; }
    matches "$want" "$dir/$stream" && continue
    echo "^ $stream of $name"
    failed=1
    if [ "${UPDATE:-}" = 1 ]; then
        cp "$dir/$stream" "$expect.$stream"
        [ -s "$expect.$stream" ] || rm "$expect.$stream"
        [ $stream = exit ] && [ $code -eq 0 ] && rm -f "$expect.exit"
    fi
done
if [ $failed -eq 1 ]; then
    echo "--- exit $code; standard output:"; cat "$dir/stdout"
    echo "--- standard error:"; cat "$dir/stderr"
else
    rm -rf "$dir"
fi
exit $failed
