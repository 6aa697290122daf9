/* unsqueeze: inserts dimensions of length 1 at `axes` of the output. */
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
                                   .flags = SQZ_AF_REQUIRED,
                                   .slot = 1,
                                   .since = 13,
                                   .doc = "places of the new dimensions in the output"}};

static sqz_status infer(sqz_infer *q)
{
    const sqz_ints *axes = &((const attrs *)q->attrs)->axes;
    const sqz_shape *x = &q->in[0]->shape;
    uint32_t mask;
    if (axes->n > (uint32_t)(SQZ_MAX_RANK - x->rank))
        return sqz_fail(q->ctx, SQZ_E_LIMIT, "%u new dimensions on %d, at most %d are supported",
                        (unsigned)axes->n, (int)x->rank, SQZ_MAX_RANK);
    q->out[0].rank = x->rank + (int32_t)axes->n;
    SQZ_TRY(sqz_axes_mask(q->ctx, axes, q->out[0].rank, &mask));
    for (int32_t i = 0, k = 0; i < q->out[0].rank; i++)
        q->out[0].dim[i] = mask & 1u << i ? 1 : x->dim[k++];
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "axes=1", .n_in = 1, .in = {{2, {3, 5}}}},
    {.attrs = "axes=0,-1", .n_in = 1, .in = {{2, {3, 5}}}},
};

const sqz_op sqz_op_unsqueeze = {
    .info = {.name = "unsqueeze",
             .doc = "inserts dimensions of length 1",
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
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Unsqueeze", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
