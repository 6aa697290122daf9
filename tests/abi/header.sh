#!/bin/bash
# header.sh INCLUDE GENERATED: the public header compiles alone as C99 and as C++11, without a warning.
set -eu
flags="-Wall -Wextra -pedantic -Werror -fsyntax-only -I$1 -I$2"
text='#include "squeeze/squeeze.h"
sqz_job job = SQZ_JOB_INIT;
sqz_ctx_options options = SQZ_CTX_OPTIONS_INIT;'
gcc -std=c99 $flags -x c - <<<"$text"
command -v g++ >/dev/null || { echo "g++ is not installed"; exit 77; }
g++ -std=c++11 $flags -x c++ - <<<"$text"
