/* shape.c: element types and shapes. The only place where dimensions are multiplied. */
#include "ir/graph.h"
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned bits;
    int32_t onnx;
} type_row[SQZ_N_DTYPE] = {
#define SQZ_DTYPE(sym, num, name, bits, onnx) [num] = {name, bits, onnx},
#include "ir/dtype.def"
#undef SQZ_DTYPE
};

const char *sqz_dtype_name(sqz_dtype d)
{
    return (unsigned)d < SQZ_N_DTYPE ? type_row[d].name : "unknown";
}

unsigned sqz_dtype_bits(sqz_dtype d) { return (unsigned)d < SQZ_N_DTYPE ? type_row[d].bits : 0; }

int32_t sqz_dtype_onnx(sqz_dtype d) { return (unsigned)d < SQZ_N_DTYPE ? type_row[d].onnx : 0; }

sqz_dtype sqz_dtype_find(const char *name)
{
    unsigned d = 0;
    while (d < SQZ_N_DTYPE && strcmp(type_row[d].name, name) != 0)
        d++;
    return (sqz_dtype)d;
}

sqz_dtype sqz_dtype_of_onnx(int32_t code)
{
    unsigned d = 0;
    while (d < SQZ_N_DTYPE && type_row[d].onnx != code)
        d++;
    return (sqz_dtype)d;
}

bool sqz_dtype_is_float(sqz_dtype d)
{
    return d == SQZ_F32 || d == SQZ_F16 || d == SQZ_BF16 || d == SQZ_F64;
}

/* Bytes of `count` elements; sizes beyond PTRDIFF_MAX are refused, so that pointer differences and
 * signed indices stay exact. */
static bool bytes_of(size_t count, sqz_dtype d, size_t *bytes)
{
    size_t bits;
    if (!sqz_mul(count, sqz_dtype_bits(d), &bits) || !sqz_add(bits, 7, &bits))
        return false;
    *bytes = bits / 8;
    return *bytes <= PTRDIFF_MAX;
}

sqz_status sqz_shape_count(sqz_ctx *ctx, const sqz_shape *s, sqz_dtype d, size_t *count,
                           size_t *bytes)
{
    if (s->rank < 0 || s->rank > SQZ_MAX_RANK)
        return sqz_fail(ctx, SQZ_E_LIMIT, "a tensor has %d dimensions, at most %d are supported",
                        (int)s->rank, SQZ_MAX_RANK);
    size_t n = 1;
    bool empty = false, fits = true;
    for (int32_t i = 0; i < s->rank; i++) {
        if (s->dim[i] < 0)
            return sqz_fail(ctx, SQZ_E_SHAPE, "dimension %d is %lld, it must not be negative",
                            (int)i, (long long)s->dim[i]);
        empty = empty || s->dim[i] == 0;
        /* a zero elsewhere does not excuse a product that overflows */
        fits = fits && (s->dim[i] == 0 || sqz_mul(n, (size_t)s->dim[i], &n));
    }
    size_t b = 0;
    if (!fits || !bytes_of(n, d, &b)) {
        char text[160];
        sqz_shape_print(text, s);
        return sqz_fail(ctx, SQZ_E_LIMIT, "a tensor of shape %s (%s) is too large for this machine",
                        text, sqz_dtype_name(d));
    }
    if (count)
        *count = empty ? 0 : n;
    if (bytes)
        *bytes = empty ? 0 : b;
    return SQZ_OK;
}

bool sqz_shape_eq(const sqz_shape *a, const sqz_shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int32_t i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

void sqz_shape_print(char out[160], const sqz_shape *s)
{
    size_t used = 0;
    (void)snprintf(out, 160, "scalar");
    for (int32_t i = 0; i < s->rank && i < SQZ_MAX_RANK; i++)
        used += (size_t)snprintf(out + used, 160 - used, i ? "x%lld" : "%lld",
                                 (long long)s->dim[i]); /* 8 x 20 digits would not fit: truncated */
    out[159] = '\0';
}

sqz_status sqz_shape_broadcast(sqz_ctx *ctx, const sqz_shape *a, const sqz_shape *b, sqz_shape *out)
{
    sqz_shape r = {.rank = SQZ_MAX(a->rank, b->rank)};
    for (int32_t i = 0; i < r.rank; i++) {
        int32_t ia = i - (r.rank - a->rank), ib = i - (r.rank - b->rank);
        int64_t da = ia < 0 ? 1 : a->dim[ia], db = ib < 0 ? 1 : b->dim[ib];
        if (da != db && da != 1 && db != 1) {
            char ta[160], tb[160];
            sqz_shape_print(ta, a);
            sqz_shape_print(tb, b);
            return sqz_fail(ctx, SQZ_E_SHAPE, "shapes %s and %s do not broadcast", ta, tb);
        }
        r.dim[i] = da == 1 ? db : da;
    }
    *out = r;
    return SQZ_OK;
}
