/* flatten: to a matrix: dimensions before `axis` become rows, the others columns. */
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"

typedef struct attrs {
    int64_t axis;
} attrs;
static const sqz_attr schema[] = {{.name = "axis",
                                   .offset = offsetof(attrs, axis),
                                   .type = SQZ_A_INT,
                                   .def = 1,
                                   .min = -SQZ_MAX_RANK,
                                   .max = SQZ_MAX_RANK,
                                   .doc = "first dimension of the columns"}};

static sqz_status infer(sqz_infer *q)
{
    const sqz_shape *x = &q->in[0]->shape;
    const int64_t axis = ((const attrs *)q->attrs)->axis, at = axis < 0 ? axis + x->rank : axis;
    if (at < 0 || at > x->rank)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "axis %lld for an input of rank %d", (long long)axis,
                        (int)x->rank);
    q->out[0] = (sqz_shape){2, {1, 1}};
    for (int32_t i = 0; i < x->rank; i++)
        q->out[0].dim[i >= at] *= x->dim[i]; /* the product of all is checked: the input exists */
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "axis=-1", .n_in = 1, .in = {{3, {2, 3, 4}}}},
    {.attrs = "axis=0", .n_in = 1, .in = {{2, {2, 3}}}},
};

const sqz_op sqz_op_flatten = {
    .info = {.name = "flatten",
             .doc = "to a matrix",
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
    .onnx = {.op_type = "Flatten", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
