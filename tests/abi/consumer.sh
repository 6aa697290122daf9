#!/bin/bash
# consumer.sh CMAKE BUILD WORK LIBDIR: installs into a folder of our own, moves it, and builds two programs against it:
# one through find_package, one through pkg-config. Also the example of README.md, as it stands there.
set -eu
cmake=$1 build=$2 work=$3 libdir=$4
here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$work" && mkdir -p "$work"
"$cmake" --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/prefix" # no path of the installation may be written down in it
prefix=$work/prefix
export LD_LIBRARY_PATH=$prefix/$libdir PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig

"$cmake" -G Ninja -S "$here/consumer" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
"$cmake" --build "$work/cmake" >/dev/null
"$work/cmake/consumer"

gcc -std=c99 -Wall -Wextra -Werror "$here/consumer/main.c" $(pkg-config --cflags --libs squeeze) -o "$work/consumer"
"$work/consumer"
[ "$(pkg-config --modversion squeeze)" = "$("$prefix/bin/squeeze" version | cut -d' ' -f2)" ]

awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$here/../../README.md" >"$work/readme.c"
[ "$(wc -l <"$work/readme.c")" -ge 10 ]
gcc -std=c99 -Wall -Wextra -Werror "$work/readme.c" $(pkg-config --cflags --libs squeeze) -o "$work/readme"
"$work/readme" "$here/../../datasets/fashion-cnn/fashion-cnn.onnx" | grep -q KiB
