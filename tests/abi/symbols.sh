#!/bin/bash
# symbols.sh LIBSQUEEZE.so: the exported symbols are those of symbols.txt, no fewer (a caller would not link) and no more
# (a name that leaks is a promise, and collides with others). UPDATE=1 rewrites the list; review it like code.
set -eu
list=$(dirname "$0")/symbols.txt
exported=$(nm -D --defined-only "$1" | awk '{ print $3 }' | LC_ALL=C sort)
[ "${UPDATE:-}" = 1 ] && echo "$exported" >"$list"
diff -u "$list" <(echo "$exported")
