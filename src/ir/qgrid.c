/* qgrid.c: see qgrid.h. */
#include "ir/qgrid.h"
#include <string.h>

static size_t product(const sqz_shape *s, int32_t from, int32_t to)
{
    size_t n = 1; /* counted when the tensor was made: fits */
    for (int32_t i = from; i < to; i++)
        n *= (size_t)s->dim[i];
    return n;
}

static size_t blocks_along(const sqz_quant *q, const sqz_shape *s)
{
    return (size_t)((s->dim[q->axis] + q->group - 1) / q->group);
}

bool sqz_quant_blocks(const sqz_quant *q, const sqz_shape *s, uint64_t *n)
{
    *n = 1;
    for (int32_t i = 0; i < s->rank; i++) {
        uint64_t d = i == q->axis ? blocks_along(q, s) : (uint64_t)s->dim[i];
        if (__builtin_mul_overflow(*n, d, n) || *n > UINT32_MAX)
            return false;
    }
    return true;
}

sqz_shape sqz_quant_shape(const sqz_quant *q, const sqz_shape *s)
{
    sqz_shape r = {0};
    if (q->axis < 0)
        return r;
    if (!q->group)
        return sqz_shape_of(1, (const int64_t[]){q->n});
    r = *s;
    r.dim[q->axis] = (int64_t)blocks_along(q, s);
    return r;
}

sqz_qrun sqz_quant_run(const sqz_quant *q, const sqz_shape *s, size_t i)
{
    if (q->axis < 0)
        return (sqz_qrun){0, SIZE_MAX, 0};
    const size_t dim = (size_t)s->dim[q->axis], inner = product(s, q->axis + 1, s->rank);
    const size_t at = i / inner % dim, in = i % inner;
    if (!q->group)
        return inner == 1 ? (sqz_qrun){at, dim - at, 1} : (sqz_qrun){at, inner - in, 0};
    const size_t group = (size_t)q->group;
    const size_t row = (i / inner / dim * blocks_along(q, s) + at / group) * inner + in;
    return inner == 1 ? (sqz_qrun){row, SQZ_MIN(group - at % group, dim - at), 0}
                      : (sqz_qrun){row, inner - in, 1};
}

/* from, a list of scales or zero points of shape s, permuted. */
static void permute(const sqz_shape *s, const int *perm, const uint32_t *from, uint32_t *to)
{
    size_t stride[SQZ_MAX_RANK], step = 1, n = product(s, 0, s->rank);
    size_t at[SQZ_MAX_RANK] = {0}, j = 0;
    for (int a = s->rank - 1; a >= 0; a--) {
        for (int i = 0; i < s->rank; i++)
            if (perm[i] == a)
                stride[i] = step;
        step *= (size_t)s->dim[a];
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = from[j];
        for (int a = s->rank - 1; a >= 0; a--) { /* odometer over the axes of the result */
            j += stride[a];
            if (++at[a] < (size_t)s->dim[perm[a]])
                break;
            j -= stride[a] * (size_t)s->dim[perm[a]];
            at[a] = 0;
        }
    }
}

sqz_status sqz_quant_permute(sqz_arena *a, const sqz_quant *q, const sqz_shape *s, const int *perm,
                             sqz_quant *out)
{
    *out = *q;
    for (int32_t i = 0; i < s->rank && q->axis >= 0; i++)
        if (perm[i] == q->axis)
            out->axis = i;
    if (!q->group)
        return SQZ_OK;
    const sqz_shape list = sqz_quant_shape(q, s);
    uint32_t *scale = sqz_arena_alloc(a, q->n, sizeof *scale);
    uint32_t *zero = sqz_arena_alloc(a, q->n, sizeof *zero);
    if (!scale || !zero)
        return SQZ_E_NOMEM;
    _Static_assert(sizeof(float) == sizeof(uint32_t), "moved as bits");
    permute(&list, perm, (const uint32_t *)(const void *)q->scale, scale);
    permute(&list, perm, (const uint32_t *)(const void *)q->zero, zero);
    out->scale = (const float *)(const void *)scale;
    out->zero = (const int32_t *)(const void *)zero;
    return SQZ_OK;
}
