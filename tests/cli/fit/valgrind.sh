# label: slow
# Memory is used as it should be over the whole of the main job. The scalar kernels: valgrind knows no AVX-512.
command -v valgrind >/dev/null || { echo "valgrind is not installed" >&2; exit 77; }
! grep -q __asan_init "$(readlink -f "$(command -v squeeze)")" || { echo "this is a sanitizer build" >&2; exit 77; }
SQZ_CPU=scalar OPENBLAS_CORETYPE=Haswell OPENBLAS_NUM_THREADS=1 valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \
    --errors-for-leak-kinds=definite squeeze fit model.onnx --data train.npz --test test.npz --device ./tiny.yaml \
    -o fitted --quiet --limit 64 --samples 64 -j 2 >/dev/null
