/* scatter_nd: x with updates in the slices that tuples of indices name:
 * y[index[i],...] = u[i,...]. */
#include "ops/indexing.h"

static sqz_status infer(sqz_infer *q)
{
    SQZ_TRY(sqz_scatter_check(q, false));
    return sqz_scatter_nd_infer(q);
}
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    return sqz_scatter_import(im, op, "scatter_nd_reduce");
}

static const sqz_case cases[] = {
    {.attrs = "",
     .n_in = 3,
     .in = {{2, {3, 4}}, {2, {2, 1}}, {2, {2, 4}}},
     .lo = -3,
     .hi = 2,
     .constant = 6,
     .dtype = {SQZ_F32, SQZ_S64, SQZ_F32}},
    {.attrs = "reduction=min",
     .n_in = 3,
     .in = {{3, {3, 3, 3}}, {3, {2, 2, 2}}, {3, {2, 2, 3}}},
     .lo = -3,
     .hi = 2,
     .constant = 6,
     .dtype = {SQZ_F32, SQZ_S32, SQZ_F32}},
    {.attrs = "reduction=max",
     .n_in = 3,
     .in = {{1, {5}}, {2, {4, 1}}, {1, {4}}},
     .lo = -3,
     .hi = 2,
     .constant = 6,
     .dtype = {SQZ_F32, SQZ_S64, SQZ_F32}},
    {.attrs = "",
     .n_in = 3,
     .in = {{2, {3, 4}}, {2, {2, 1}}, {2, {2, 4}}},
     .lo = -3,
     .hi = 2,
     .dtype = {SQZ_S4, SQZ_S64, SQZ_S4}},
};

const sqz_op sqz_op_scatter_nd = {
    .info = {.name = "scatter_nd",
             .doc = "writes updates at indexed places",
             .opt_size = sizeof(sqz_scatter_attrs),
             .opts = sqz_scatter_nd_schema,
             .n_opts = SQZ_COUNT(sqz_scatter_nd_schema)},
    .n_in_min = 3,
    .n_in_max = 3,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_MOVES | SQZ_T_IN_PLACE,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = sqz_scatter_nd_run,
    .prepare = sqz_move_prepare,
    .cost = sqz_move_cost,
    .grad = sqz_scatter_nd_grad,
    .grad_prepare = sqz_scatter_grad_prepare,
    .quant = {.kind = SQZ_Q_SAME, .data_inputs = 5},
    .onnx = {.op_type = "ScatterND", .since = 11, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
