#!/bin/sh
# run.sh SCRIPT.py ARGUMENTS: with the interpreter in $SQZ_PYTHON, else python3; skipped (77) where there is none.
python=${SQZ_PYTHON:-python3}
command -v "$python" >/dev/null || { echo "skipped: no $python"; exit 77; }
exec "$python" "$@"
