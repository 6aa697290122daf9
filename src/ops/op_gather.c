/* gather: slices x[..., indices, ...] along an axis; the dimensions of the indices take the place
 * of that axis. */
#include "ops/move.h"
#include <string.h>

typedef struct attrs {
    int64_t axis;
} attrs;
static const sqz_attr schema[] = {{.name = "axis",
                                   .offset = offsetof(attrs, axis),
                                   .type = SQZ_A_INT,
                                   .min = -SQZ_MAX_RANK,
                                   .max = SQZ_MAX_RANK - 1,
                                   .doc = "axis that is indexed"}};

static sqz_status infer(sqz_infer *q)
{
    const sqz_shape *x = &q->in[0]->shape, *k = &q->in[1]->shape;
    int32_t axis = 0;
    SQZ_TRY(sqz_axis(q->ctx, ((const attrs *)q->attrs)->axis, x->rank, &axis));
    if (q->in[1]->dtype != SQZ_S64 && q->in[1]->dtype != SQZ_S32)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "indices are %s, expected s64 or s32",
                        sqz_dtype_name(q->in[1]->dtype));
    if (x->rank - 1 + k->rank > SQZ_MAX_RANK)
        return sqz_fail(q->ctx, SQZ_E_LIMIT, "an output of rank %d, at most %d are supported",
                        (int)(x->rank - 1 + k->rank), SQZ_MAX_RANK);
    for (int32_t i = 0; i < axis; i++)
        q->out[0].dim[q->out[0].rank++] = x->dim[i];
    for (int32_t i = 0; i < k->rank; i++)
        q->out[0].dim[q->out[0].rank++] = k->dim[i];
    for (int32_t i = axis + 1; i < x->rank; i++)
        q->out[0].dim[q->out[0].rank++] = x->dim[i];
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const sqz_tensor *k = c->in[1];
    const unsigned char *x = c->in[0]->data;
    unsigned char *y = c->out[0]->data;
    int32_t axis = 0;
    SQZ_TRY(sqz_axis(c->ctx, ((const attrs *)c->attrs)->axis, c->in[0]->shape.rank, &axis));
    const sqz_split3 s = sqz_split_at(&c->in[0]->shape, axis);
    const size_t bytes = s.inner * sqz_elem(c->in[0]);
    const int64_t n = (int64_t)s.n;
    for (size_t i = 0; i < k->count; i++) {
        int64_t at = sqz_tensor_i64(k, i);
        if (at < -n || at >= n)
            return sqz_fail(c->ctx, SQZ_E_ARG, "index %lld at position %zu, expected %lld .. %lld",
                            (long long)at, i, (long long)-n, (long long)(n - 1));
        at += at < 0 ? n : 0;
        for (size_t o = 0; bytes && o < s.outer; o++)
            memcpy(y + (o * k->count + i) * bytes, x + (o * s.n + (size_t)at) * bytes, bytes);
    }
    return SQZ_OK;
}

#define INDICES .lo = -3, .hi = 2, .dtype = {SQZ_F32, SQZ_S64} /* within every axis below */
static const sqz_case cases[] = {
    {.attrs = "axis=1", .n_in = 2, .in = {{3, {2, 3, 4}}, {1, {5}}}, .constant = 2, INDICES},
    {.attrs = "axis=-1", .n_in = 2, .in = {{2, {3, 5}}, {2, {2, 2}}}, .constant = 2, INDICES},
    {.attrs = "axis=0", .n_in = 2, .in = {{2, {4, 5}}, {0}}, INDICES},
};

const sqz_op sqz_op_gather = {
    .info = {.name = "gather",
             .doc = "picks slices along an axis",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 2,
    .n_in_max = 2,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_MOVES,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = run,
    .cost = sqz_move_cost,
    .quant = {.kind = SQZ_Q_SAME, .data_inputs = 1},
    .onnx = {.op_type = "Gather", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
