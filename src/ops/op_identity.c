/* identity: y = x. */
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"

static sqz_status infer(sqz_infer *q)
{
    q->out[0] = q->in[0]->shape;
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
};

const sqz_op sqz_op_identity = {
    .info = {.name = "identity", .doc = "x"},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_ELEMENTWISE | SQZ_T_UNARY | SQZ_T_VIEW | SQZ_T_MOVES,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = sqz_view_run,
    .cost = sqz_view_cost,
    .grad = sqz_grad_copy,
    .ties = sqz_ties_elementwise,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Identity", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
