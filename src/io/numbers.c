/* numbers.c: typed bytes to float, and data sets made of one or two arrays in streams. */
#include "io/numbers.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* IEEE 754 half to float: exact. */
static float half(uint16_t h)
{
    int exponent = h >> 10 & 31;
    float fraction = (float)(h & 1023);
    float v = exponent == 31  ? (h & 1023 ? NAN : INFINITY)
              : exponent == 0 ? ldexpf(fraction, -24)
                              : ldexpf(1024.0f + fraction, exponent - 25);
    return h & 0x8000 ? -v : v;
}

/* One loop per type: memcpy because data in a file has no alignment. */
#define SQZ_CONVERT(ctype, bits, swapped, value)                                                   \
    for (size_t i = 0; i < n; i++) {                                                               \
        uint##bits##_t u;                                                                          \
        memcpy(&u, from + i * sizeof u, sizeof u);                                                 \
        if (swap)                                                                                  \
            u = (uint##bits##_t)(swapped);                                                         \
        ctype v;                                                                                   \
        memcpy(&v, &u, sizeof v);                                                                  \
        out[i] = value;                                                                            \
    }                                                                                              \
    break

#define SQZ_CONVERT_ALL(real)                                                                      \
    const unsigned char *from = in;                                                                \
    switch (type) {                                                                                \
    case SQZ_U8: SQZ_CONVERT(uint8_t, 8, u, (real)v);                                              \
    case SQZ_BOOL: SQZ_CONVERT(uint8_t, 8, u, (real)(v != 0));                                     \
    case SQZ_S8: SQZ_CONVERT(int8_t, 8, u, (real)v);                                               \
    case SQZ_U16: SQZ_CONVERT(uint16_t, 16, __builtin_bswap16(u), (real)v);                        \
    case SQZ_S16: SQZ_CONVERT(int16_t, 16, __builtin_bswap16(u), (real)v);                         \
    case SQZ_F16: SQZ_CONVERT(uint16_t, 16, __builtin_bswap16(u), (real)half(v));                  \
    case SQZ_U32: SQZ_CONVERT(uint32_t, 32, __builtin_bswap32(u), (real)v);                        \
    case SQZ_S32: SQZ_CONVERT(int32_t, 32, __builtin_bswap32(u), (real)v);                         \
    case SQZ_F32: SQZ_CONVERT(float, 32, __builtin_bswap32(u), (real)v);                           \
    case SQZ_U64: SQZ_CONVERT(uint64_t, 64, __builtin_bswap64(u), (real)v);                        \
    case SQZ_S64: SQZ_CONVERT(int64_t, 64, __builtin_bswap64(u), (real)v);                         \
    case SQZ_F64: SQZ_CONVERT(double, 64, __builtin_bswap64(u), (real)v);                          \
    default: memset(out, 0, n * sizeof *out); /* not reached: readers refuse other types */        \
    }

void sqz_numbers_f32(sqz_dtype type, bool swap, const void *in, size_t n, float *out)
{
    SQZ_CONVERT_ALL(float)
}

void sqz_numbers_f64(sqz_dtype type, bool swap, const void *in, size_t n,
                     double *out){SQZ_CONVERT_ALL(double)}

sqz_status sqz_numbers_check(sqz_numbers *a)
{
    sqz_ctx *ctx = a->s.ctx;
    size_t count, bytes, row_bytes;
    if (a->shape.rank < 1)
        return sqz_fail(ctx, SQZ_E_FORMAT,
                        "%s: holds a single number, expected an array whose first axis counts "
                        "samples",
                        a->s.name);
    sqz_status st = sqz_shape_count(ctx, &a->shape, a->type, &count, &bytes);
    if (st != SQZ_OK)
        return sqz_note(ctx, st, "%s", a->s.name);
    if (count == 0) {
        char shape[160];
        sqz_shape_print(shape, &a->shape);
        return sqz_fail(ctx, SQZ_E_FORMAT, "%s: is empty: shape %s", a->s.name, shape);
    }
    if (a->s.size != UINT64_MAX && (a->s.size < a->begin || a->s.size - a->begin != bytes))
        return sqz_fail(ctx, SQZ_E_FORMAT,
                        "%s: %s: %zu bytes of data expected after byte %" PRIu64 ", found %" PRIu64,
                        a->s.name, a->s.size < a->begin + bytes ? "truncated" : "too long", bytes,
                        a->begin, a->s.size < a->begin ? 0 : a->s.size - a->begin);
    sqz_shape sample = sqz_shape_of(a->shape.rank - 1, a->shape.dim + 1);
    st = sqz_shape_count(ctx, &sample, a->type, &a->row, &row_bytes);
    a->each = row_bytes;
    return st;
}

sqz_status sqz_numbers_read(sqz_numbers *a, int64_t first, int64_t n, float *out)
{
    unsigned char block[8192];
    size_t width = a->each / a->row, per = sizeof block / width;
    size_t left = (size_t)n * a->row;
    uint64_t at = a->begin + (uint64_t)first * a->each;
    if (a->type == SQZ_F32 && !a->swap)
        return sqz_stream_read(&a->s, at, out, left * sizeof *out);
    while (left) {
        size_t now = SQZ_MIN(left, per);
        SQZ_TRY(sqz_stream_read(&a->s, at, block, now * width));
        sqz_numbers_f32(a->type, a->swap, block, now, out);
        out += now;
        left -= now;
        at += now * width;
    }
    return SQZ_OK;
}

sqz_status sqz_classes_see(sqz_ctx *ctx, const char *what, int64_t first, const double *label,
                           size_t n, int64_t *classes)
{
    for (size_t i = 0; i < n; i++) {
        if (!(label[i] >= 0 && label[i] < SQZ_CLASS_LIMIT))
            return sqz_fail(ctx, SQZ_E_FORMAT,
                            "%s: label of sample %" PRId64
                            " is %.0f: integer labels are class numbers from 0 to %.0f; store "
                            "other values as floats",
                            what, first + (int64_t)i, label[i], SQZ_CLASS_LIMIT - 1);
        *classes = SQZ_MAX(*classes, (int64_t)label[i] + 1);
    }
    return SQZ_OK;
}

sqz_status sqz_numbers_classes(sqz_numbers *a, int64_t *classes)
{
    unsigned char block[2048];
    double label[sizeof block];
    *classes = 0;
    if (a->row != 1 || sqz_dtype_is_float(a->type))
        return SQZ_OK;
    size_t per = sizeof block / a->each;
    for (int64_t i = 0; i < a->shape.dim[0];) {
        size_t now = (size_t)SQZ_MIN((int64_t)per, a->shape.dim[0] - i);
        SQZ_TRY(sqz_stream_read(&a->s, a->begin + (uint64_t)i * a->each, block, now * a->each));
        sqz_numbers_f64(a->type, a->swap, block, now, label);
        SQZ_TRY(sqz_classes_see(a->s.ctx, a->s.name, i, label, now, classes));
        i += (int64_t)now;
    }
    if (a->type == SQZ_BOOL)
        *classes = 2;
    return SQZ_OK;
}

/* ---- x and y as a data set ---- */
sqz_status sqz_columns_new(sqz_dataset *ds, sqz_columns **out)
{
    sqz_columns *c = ds->impl = sqz_calloc(ds->ctx, 1, sizeof *c);
    if (!c)
        return SQZ_E_NOMEM;
    c->x.s = c->y.s = SQZ_STREAM_CLOSED;
    *out = c;
    return SQZ_OK;
}

sqz_status sqz_labels_describe(sqz_dataset *ds, const char *what, const sqz_shape *shape,
                               int64_t classes)
{
    if (shape->dim[0] != ds->n)
        return sqz_fail(ds->ctx, SQZ_E_SHAPE,
                        "%s: %" PRId64 " labels for %" PRId64 " samples: expected as many", what,
                        shape->dim[0], ds->n);
    ds->has_labels = true;
    ds->classes = classes;
    ds->label_shape = sqz_shape_of(shape->rank - 1, shape->dim + 1);
    if (shape->rank == 2 && shape->dim[1] == 1) /* a column is as good as a list */
        ds->label_shape.rank = 0;
    return SQZ_OK;
}

sqz_status sqz_columns_describe(sqz_dataset *ds)
{
    sqz_columns *c = ds->impl;
    int64_t classes;
    ds->n = c->x.shape.dim[0];
    ds->shape = sqz_shape_of(c->x.shape.rank - 1, c->x.shape.dim + 1);
    ds->stored = c->x.type;
    ds->seekable = sqz_stream_seekable(&c->x.s) && (!c->has_y || sqz_stream_seekable(&c->y.s));
    ds->rewinds = !ds->seekable;
    if (!c->has_y)
        return SQZ_OK;
    SQZ_TRY(sqz_numbers_classes(&c->y, &classes));
    return sqz_labels_describe(ds, c->y.s.name, &c->y.shape, classes);
}

sqz_status sqz_columns_read(sqz_dataset *ds, int64_t first, int64_t n, float *x, float *y)
{
    sqz_columns *c = ds->impl;
    SQZ_TRY(sqz_numbers_read(&c->x, first, n, x));
    return y ? sqz_numbers_read(&c->y, first, n, y) : SQZ_OK;
}

void sqz_columns_close(sqz_dataset *ds)
{
    sqz_columns *c = ds->impl;
    if (!c)
        return;
    sqz_stream_close(&c->x.s);
    sqz_stream_close(&c->y.s);
    sqz_free(ds->ctx, c);
    ds->impl = NULL;
}
