#!/bin/sh
# Peak memory of calibration with entropy on 100 and on 10,000 samples (bar: at most 300 MB more).
#   bench/calibration_memory.sh [SQUEEZE]
set -eu
cd "$(dirname "$0")/.."
squeeze=${1:-build/release/squeeze}
work=build/bench/calibration && mkdir -p $work
[ -f $work/fashion.h5 ] || "$squeeze" prepare datasets/fashion-mnist.yaml -o $work/fashion.h5 --quiet
peak() { # samples -> KiB, from the kernel's own account
    /usr/bin/env python3 - "$squeeze" "$1" $work <<'PY'
import resource, subprocess, sys
squeeze, n, work = sys.argv[1:]
subprocess.run([squeeze, "calibrate", "datasets/fashion-cnn/fashion-cnn.onnx", "--data", f"{work}/fashion.h5", "--split",
                "train", "--samples", n, "--calibrator", "entropy", "-o", f"{work}/ranges.json", "--quiet"],
               check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
PY
}
small=$(peak 100) large=$(peak 10000)
echo "entropy calibration, peak resident memory: $((small / 1024)) MB on 100 samples, $((large / 1024)) MB on 10,000"
echo "difference $(((large - small) / 1024)) MB (bar: 300)"
[ $((large - small)) -le 307200 ]
