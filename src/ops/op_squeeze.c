/* squeeze: drops dimensions of length 1. */
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"

typedef struct attrs {
    sqz_ints axes;
} attrs;
static const sqz_attr schema[] = {{.name = "axes",
                                   .offset = offsetof(attrs, axes),
                                   .type = SQZ_A_INTS,
                                   .min = -SQZ_MAX_RANK,
                                   .max = SQZ_MAX_RANK - 1,
                                   .slot = 1,
                                   .since = 13,
                                   .doc = "dimensions to drop; empty: every 1"}};

static sqz_status infer(sqz_infer *q)
{
    const sqz_ints *axes = &((const attrs *)q->attrs)->axes;
    const sqz_shape *x = &q->in[0]->shape;
    uint32_t mask;
    SQZ_TRY(sqz_axes_mask(q->ctx, axes, x->rank, &mask));
    for (int32_t i = 0; i < x->rank; i++) {
        bool drop = axes->n ? (mask & 1u << i) != 0 : x->dim[i] == 1;
        if (drop && x->dim[i] != 1)
            return sqz_fail(q->ctx, SQZ_E_SHAPE, "axis %d has %lld entries, only 1 can be dropped",
                            (int)i, (long long)x->dim[i]);
        if (!drop)
            q->out[0].dim[q->out[0].rank++] = x->dim[i];
    }
    return SQZ_OK;
}

/* "Every 1" is spelt out, so that a change of the batch does not change the rank. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    attrs at;
    const sqz_shape *x = &sqz_val(im->g, im->in[0])->shape;
    SQZ_TRY(sqz_import_attrs(im, op, &at));
    if (at.axes.n == 0) {
        int64_t *v;
        SQZ_TRY(sqz_ints_new(&im->g->arena, SQZ_MAX_RANK, &at.axes, &v));
        at.axes.n = 0;
        for (int32_t i = 0; i < x->rank; i++)
            if (x->dim[i] == 1)
                v[at.axes.n++] = i;
    }
    return sqz_import_node(im, op, &at, im->in, 1);
}

/* Every 1 is spelt out before more of them appear. */
static sqz_status recut(sqz_recut *c)
{
    attrs *at = c->attrs;
    const sqz_shape *x = &c->in[0]->shape;
    int64_t *v;
    if (at->axes.n)
        return SQZ_OK;
    SQZ_TRY(sqz_ints_new(c->arena, SQZ_MAX_RANK, &at->axes, &v));
    at->axes.n = 0;
    for (int32_t i = 0; i < x->rank; i++)
        if (x->dim[i] == 1)
            v[at->axes.n++] = i;
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "axes=1,-2", .n_in = 1, .in = {{4, {2, 1, 1, 4}}}},
    {.attrs = "", .n_in = 1, .in = {{3, {2, 1, 4}}}},
};

const sqz_op sqz_op_squeeze = {
    .info = {.name = "squeeze",
             .doc = "drops dimensions of length 1",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_VIEW | SQZ_T_MOVES,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = sqz_view_run,
    .cost = sqz_view_cost,
    .grad = sqz_grad_copy,
    .ties = sqz_ties_view,
    .recut = recut,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Squeeze", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
