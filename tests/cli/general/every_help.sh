# Each command has help with usage, an example and the exit codes.
for c in $(squeeze help | awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }'); do
    squeeze help $c >a
    squeeze $c --help | cmp - a
    grep -q "^usage: squeeze $c" a
    grep -q '^Example:' a
    grep -q '^Exit codes:' a
    [ -z "$(awk 'length > 95' a)" ]
done
