/* fuzz_npz.c: any bytes as a data set in NPZ. */
#include "fuzz_set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) { return fuzz_set(data, n, true); }
