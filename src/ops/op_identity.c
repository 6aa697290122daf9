/* identity: y = x. Also what Dropout is outside of training. */
#include "ops/move.h"

static sqz_status infer(sqz_infer *q)
{
    q->out[0] = q->in[0]->shape;
    return SQZ_OK;
}

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    const sqz_tensor *training = NULL;
    if (im->op_type[0] == 'D') {
        if (im->n_out > 1 && im->out_name[1])
            return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                            "the mask output of Dropout is used; only inference is supported");
        if (im->n_in > 2)
            SQZ_TRY(sqz_import_const(im, 2, &training));
        if (training && training->count && sqz_tensor_i64(training, 0))
            return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                            "Dropout in training mode; only inference is supported");
    }
    return sqz_import_node(im, op, NULL, im->in, 1);
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
};

const sqz_op sqz_op_identity = {
    .info = {.name = "identity", .doc = "x; Dropout at inference"},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_ELEMENTWISE | SQZ_T_UNARY | SQZ_T_VIEW | SQZ_T_MOVES,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = sqz_view_run,
    .cost = sqz_view_cost,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Identity", .also = "Dropout", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
