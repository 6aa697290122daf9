/* fuzz_set.h: bytes as a data set: opened, read forwards and backwards, summed, closed. */
#ifndef SQZ_FUZZ_SET_H
#define SQZ_FUZZ_SET_H
#include "fuzz.h"
#include "io/data.h"

#define FUZZ_DEFLATE 1100 /* one byte of a deflated stream becomes at most 1032 */

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
        (void)fuzz_may(ds->ctx,
                       sqz_data_read(ds, i < ds->n ? i : 2 * ds->n - 1 - i, 1, block,
                                     ds->has_labels ? block + x : NULL),
                       "read");
    free(block);
    if ((uint64_t)ds->n * (x + y) < 1u << 20)
        (void)fuzz_may(ds->ctx, sqz_data_checksum(ds), "checksum");
}

/* Through sqz_data_open and, with `arrays`, through sqz_npz_read. */
static inline int fuzz_set(const uint8_t *data, size_t n, bool arrays)
{
    char path[32];
    sqz_dataset *ds;
    sqz_ctx *ctx = fuzz_ctx_strict(n, FUZZ_DEFLATE);
    int fd = fuzz_file(data, n, path);
    if (fuzz_may(ctx, sqz_data_open(ctx, path, NULL, &ds), "open")) {
        fuzz_read(ds);
        sqz_data_close(ds);
    }
    sqz_arena names = {.ctx = ctx};
    sqz_array *a;
    size_t count;
    if (arrays && fuzz_may(ctx, sqz_npz_read(&names, path, &a, &count), "arrays"))
        sqz_arrays_free(ctx, a, count);
    sqz_arena_free(&names);
    (void)close(fd);
    sqz_ctx_free(ctx); /* asserts that nothing leaked */
    return 0;
}
#endif
