/* fuzz_csv.c: a byte of choices, then any bytes as a table. */
#include "fuzz.h"
#include "io/prepare.h"

static void read_all(sqz_source *s)
{
    float *x = malloc((size_t)s->shape.dim[0] * sizeof *x), y;
    if (!x)
        abort();
    for (int64_t i = 0; i < s->n && i < 64; i++) {
        if (fuzz_may(s->ctx, s->read(s, i, NULL, x, &y), "read") && s->classes &&
            (s->class_of(s, i) != (int32_t)y || y < 0 || (int64_t)y >= s->classes))
            abort();
    }
    free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char path[32];
    static const char *const wanted[] = {"2", "1"};
    const unsigned how = data[0];
    const sqz_source_spec spec = {.kind = "csv",
                                  .file = path,
                                  .header = how & 1,
                                  .separator = how & 2 ? ';' : ',',
                                  .values = how & 4,
                                  .y = how & 8    ? "label"
                                       : how & 16 ? "1"
                                                  : NULL,
                                  .columns = how & 32 ? wanted : NULL,
                                  .n_columns = how & 32 ? 1 + (how >> 7) : 0};
    sqz_ctx *ctx = fuzz_ctx_strict(size, 64);
    sqz_source s = {.ctx = ctx, .arena = {.ctx = ctx}, .spec = &spec};
    int fd = fuzz_file(data + 1, size - 1, path);
    if (fuzz_may(ctx, sqz_source_csv(&s, NULL, how & 64 ? "/dev/shm" : NULL), "table") && how & 64)
        read_all(&s);
    sqz_source_close(&s);
    (void)close(fd);
    sqz_ctx_free(ctx);
    return 0;
}
