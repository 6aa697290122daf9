/* fuzz_set.h: bytes as a data set: opened, read forwards and backwards, summed, closed. The readers
 * take paths; a file in memory has one. */
#ifndef SQZ_FUZZ_SET_H
#define SQZ_FUZZ_SET_H
#include "io/data.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static inline int fuzz_file(const uint8_t *data, size_t n, char path[32])
{
    int fd = memfd_create("fuzz", 0);
    if (fd < 0 || write(fd, data, n) != (ssize_t)n)
        abort();
    (void)snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

static inline void fuzz_read(sqz_dataset *ds)
{
    size_t x, y, bytes;
    if (sqz_shape_count(ds->ctx, &ds->shape, SQZ_F32, &x, &bytes) != SQZ_OK ||
        sqz_shape_count(ds->ctx, &ds->label_shape, SQZ_F32, &y, &bytes) != SQZ_OK ||
        x + y > 1u << 20)
        return;
    float *block = calloc(x + y + 1, sizeof *block);
    if (!block)
        abort();
    for (int64_t i = 0; i < 2 * ds->n && i < 64; i++)
        (void)sqz_data_read(ds, i < ds->n ? i : 2 * ds->n - 1 - i, 1, block,
                            ds->has_labels ? block + x : NULL);
    free(block);
    if ((uint64_t)ds->n * (x + y) < 1u << 20)
        (void)sqz_data_checksum(ds);
}

/* Through sqz_data_open and, with `arrays`, through sqz_npz_read. */
static inline int fuzz_set(const uint8_t *data, size_t n, bool arrays)
{
    char path[32];
    sqz_ctx *ctx;
    sqz_dataset *ds;
    sqz_ctx_options one = SQZ_CTX_OPTIONS_INIT;
    one.threads = 1;
    if (sqz_ctx_create(&one, &ctx) != SQZ_OK)
        abort();
    int fd = fuzz_file(data, n, path);
    if (sqz_data_open(ctx, path, NULL, &ds) == SQZ_OK) {
        fuzz_read(ds);
        sqz_data_close(ds);
    }
    sqz_arena names = {.ctx = ctx};
    sqz_array *a;
    size_t count;
    if (arrays && sqz_npz_read(&names, path, &a, &count) == SQZ_OK)
        sqz_arrays_free(ctx, a, count);
    sqz_arena_free(&names);
    (void)close(fd);
    sqz_ctx_free(ctx); /* asserts that nothing leaked */
    return 0;
}
#endif
