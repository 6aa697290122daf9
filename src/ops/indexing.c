/* indexing.c: see indexing.h, all but the scatters. */
#include "ops/indexing.h"
#include <math.h>
#include <string.h>

static size_t product(const int64_t *dim, int32_t from, int32_t to)
{
    size_t n = 1; /* of tensors that exist: counted before */
    for (int32_t i = from; i < to; i++)
        n *= (size_t)dim[i];
    return n;
}

/* ---- elements ---- */

sqz_status sqz_elements_infer(const sqz_infer *q, int64_t axis)
{
    const sqz_shape *x = &q->in[0]->shape, *k = &q->in[1]->shape;
    int32_t at;
    SQZ_TRY(sqz_axis(q->ctx, axis, x->rank, &at));
    SQZ_TRY(sqz_need_index(q, 1));
    bool fits = x->rank == k->rank;
    for (int32_t i = 0; fits && i < x->rank; i++)
        fits = i == at || k->dim[i] <= x->dim[i];
    if (fits)
        return SQZ_OK;
    char a[160], b[160];
    sqz_shape_print(a, k);
    sqz_shape_print(b, x);
    return sqz_fail(q->ctx, SQZ_E_SHAPE,
                    "indices of shape %s do not fit data of shape %s (axis %d)", a, b, (int)at);
}

sqz_status sqz_elements_of(sqz_ctx *ctx, const sqz_tensor *data, const sqz_tensor *index,
                           int64_t axis, sqz_elements *out)
{
    const int32_t rank = data->shape.rank;
    int32_t at;
    SQZ_TRY(sqz_axis(ctx, axis, rank, &at));
    *out = (sqz_elements){.rank = rank, .n = data->shape.dim[at]};
    for (int32_t i = 0; i < rank; i++) {
        out->dim[i] = (size_t)index->shape.dim[i];
        out->step[i] = i == at ? 0 : product(data->shape.dim, i + 1, rank);
    }
    out->stride = product(data->shape.dim, at + 1, rank);
    out->width = out->dim[rank - 1];
    out->rows = out->width ? index->count / out->width : 0;
    return sqz_check_indices(ctx, index, out->n);
}

size_t sqz_elements_base(const sqz_elements *e, size_t row)
{
    size_t at = 0;
    for (int32_t i = e->rank - 2; i >= 0; i--) {
        at += row % e->dim[i] * e->step[i];
        row /= e->dim[i];
    }
    return at;
}

/* ---- tuples ---- */

sqz_status sqz_tuples_infer(const sqz_infer *q, int64_t batch_dims)
{
    const sqz_shape *x = &q->in[0]->shape, *k = &q->in[1]->shape;
    const int32_t most = SQZ_MIN(x->rank, k->rank);
    char a[160], b[160];
    SQZ_TRY(sqz_need_index(q, 1));
    bool fits = x->rank > 0 && k->rank > 0 && batch_dims >= 0 && batch_dims < most;
    for (int32_t i = 0; fits && i < batch_dims; i++)
        fits = x->dim[i] == k->dim[i];
    if (fits && k->dim[k->rank - 1] >= 1 && k->dim[k->rank - 1] <= x->rank - batch_dims)
        return SQZ_OK;
    sqz_shape_print(a, k);
    sqz_shape_print(b, x);
    return sqz_fail(q->ctx, SQZ_E_SHAPE,
                    "indices of shape %s do not fit data of shape %s (batch_dims %lld)", a, b,
                    (long long)batch_dims);
}

sqz_status sqz_tuples_of(sqz_ctx *ctx, const sqz_tensor *data, const sqz_tensor *index,
                         int64_t batch_dims, sqz_tuples *out)
{
    const sqz_shape *x = &data->shape, *k = &index->shape;
    const int32_t b = (int32_t)batch_dims, m = (int32_t)k->dim[k->rank - 1];
    *out = (sqz_tuples){.n = product(k->dim, 0, k->rank - 1), .m = (size_t)m};
    out->each = product(k->dim, b, k->rank - 1);
    out->batch = product(x->dim, b, x->rank);
    out->slice = product(x->dim, b + m, x->rank);
    for (int32_t i = 0; i < m; i++) {
        out->dim[i] = x->dim[b + i];
        out->step[i] = product(x->dim, b + i + 1, x->rank);
    }
    for (size_t i = 0; i < index->count; i++) {
        const int64_t at = sqz_tensor_i64(index, i), n = out->dim[i % out->m];
        if (at < -n || at >= n)
            return sqz_fail(
                ctx, SQZ_E_ARG, "index %lld at position %zu of tuple %zu, expected %lld .. %lld",
                (long long)at, i % out->m, i / out->m, (long long)-n, (long long)(n - 1));
    }
    return SQZ_OK;
}

size_t sqz_tuples_at(const sqz_tuples *t, const sqz_tensor *index, size_t i)
{
    size_t at = i / t->each * t->batch;
    for (size_t k = 0; k < t->m; k++)
        at += sqz_index(index, i * t->m + k, t->dim[k]) * t->step[k];
    return at;
}

/* ---- order ---- */

static uint64_t key_of_double(double v)
{
    uint64_t u;
    v = v == 0 ? 0 : v; /* -0 and 0 are equal */
    memcpy(&u, &v, sizeof u);
    if (isnan(v))
        return UINT64_MAX;
    return u >> 63 ? ~u : u | (uint64_t)1 << 63;
}

uint64_t sqz_order_key(const sqz_tensor *t, size_t i)
{
    if (t->dtype == SQZ_F32)
        return key_of_double((double)SQZ_F32P(t)[i]);
    if (sqz_dtype_is_float(t->dtype))
        return key_of_double(sqz_tensor_f64(t, i));
    if (t->dtype == SQZ_U64)
        return ((const uint64_t *)t->data)[i];
    return (uint64_t)sqz_tensor_i64(t, i) ^ (uint64_t)1 << 63;
}
