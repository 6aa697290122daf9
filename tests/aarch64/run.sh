#!/bin/sh
# run.sh SOURCE BUILD CMAKE COMPILER EMULATOR: builds the kernels for aarch64 and runs their tests in the emulator.
# Skipped, with the reason, where the compiler or the emulator is missing.
set -e
source=$1 build=$2 cmake=$3 compiler=$4 emulator=$5
command -v "$compiler" >/dev/null || { echo "skipped: no cross compiler (Debian: gcc-aarch64-linux-gnu)"; exit 77; }
command -v "$emulator" >/dev/null || { echo "skipped: no emulator (Debian: qemu-user)"; exit 77; }
"$cmake" -S "$source" -B "$build" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_C_COMPILER="$compiler" -DCMAKE_CROSSCOMPILING_EMULATOR="$emulator"
"$cmake" --build "$build" --parallel 2
"$(dirname "$cmake")/ctest" --test-dir "$build" --output-on-failure --parallel 2
