#!/bin/sh
# layers.sh ROOT: an include may only go to the own folder or to a layer further left. Prints each that does not.
#   runtime < base < ir < kernels < ops < exec < io < {calib device} < train < {canon quant prune distill eval} < search < api < cli
# One exception: base/ctx.c creates the table of kernels. cli/ sees the public header only.
cd "$1" || exit 2
awk '
BEGIN {
    n = split("runtime base ir kernels ops exec io calib,device train canon,quant,prune,distill,eval search api", layer, " ")
    for (i = 1; i <= n; i++) {
        m = split(layer[i], name, ",")
        for (k = 1; k <= m; k++) rank[name[k]] = i
    }
}
FNR == 1 { files++; folder = FILENAME; sub(/\/[^\/]*$/, "", folder); sub(/^src\/?/, "", folder) }
/^#[ \t]*include[ \t]*"/ {
    split($0, part, "\"")
    target = part[2]
    includes++
    if (target ~ /^squeeze\//) next
    if (FILENAME ~ /^cli\//) {
        if (target ~ /\// ) { print FILENAME ":" FNR ": the command line includes " target; bad = 1 }
        next
    }
    if (target !~ /\//) next # generated, or beside the file
    if (FILENAME == "src/base/ctx.c" && target ~ /^kernels\//) next
    to = target
    sub(/\/.*/, "", to)
    from = folder == "" ? "api" : folder # src/capi.c and src/pipeline.c are the last layer
    if (!(to in rank) || !(from in rank)) { print FILENAME ":" FNR ": no layer is known for " target; bad = 1; next }
    if (to != from && rank[to] >= rank[from] && !(folder == "" && to == "api")) {
        print FILENAME ":" FNR ": " from " may not include " target
        bad = 1
    }
}
END {
    if (files < 50 || includes < 100) { print "only " files " files with " includes " includes were found"; bad = 1 }
    exit bad
}' $(find src cli -name '*.c' -o -name '*.h' | sort)
