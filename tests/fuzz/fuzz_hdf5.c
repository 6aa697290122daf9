/* fuzz_hdf5.c: any bytes as an HDF5 data set, read as the command does: the superblock is checked,
 * then a child process goes first, because libhdf5 itself dies of some files. */
#include "fuzz_set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    sqz_ctx *ctx = fuzz_ctx();
    sqz_own_process(ctx);
    sqz_ctx_free(ctx);
    return fuzz_set(data, n, false);
}
