/* scatter_elements: x with updates at places given by indices along an axis: for axis 0,
 * y[index[i,j],j] = u[i,j]. */
#include "ops/indexing.h"

static sqz_status infer(sqz_infer *q)
{
    SQZ_TRY(sqz_scatter_check(q, false));
    return sqz_scatter_elements_infer(q);
}
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    return sqz_scatter_import(im, op, "scatter_elements_reduce");
}

static const sqz_case cases[] = {
    {.attrs = "axis=0",
     .n_in = 3,
     .in = {{2, {3, 4}}, {2, {2, 4}}, {2, {2, 4}}},
     .lo = -3,
     .hi = 2,
     .constant = 6,
     .dtype = {SQZ_F32, SQZ_S64, SQZ_F32}},
    {.attrs = "axis=1 reduction=min",
     .n_in = 3,
     .in = {{3, {3, 3, 3}}, {3, {2, 3, 1}}, {3, {2, 3, 1}}},
     .lo = -3,
     .hi = 2,
     .constant = 6,
     .dtype = {SQZ_F32, SQZ_S32, SQZ_F32}},
    {.attrs = "axis=-1 reduction=max",
     .n_in = 3,
     .in = {{1, {5}}, {1, {4}}, {1, {4}}},
     .lo = -3,
     .hi = 2,
     .constant = 6,
     .dtype = {SQZ_F32, SQZ_S64, SQZ_F32}},
    {.attrs = "axis=0",
     .n_in = 3,
     .in = {{2, {3, 4}}, {2, {2, 4}}, {2, {2, 4}}},
     .lo = -3,
     .hi = 2,
     .dtype = {SQZ_S4, SQZ_S64, SQZ_S4}},
};

const sqz_op sqz_op_scatter_elements = {
    .info = {.name = "scatter_elements",
             .doc = "writes updates at indexed places",
             .opt_size = sizeof(sqz_scatter_attrs),
             .opts = sqz_scatter_elements_schema,
             .n_opts = SQZ_COUNT(sqz_scatter_elements_schema)},
    .n_in_min = 3,
    .n_in_max = 3,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_MOVES | SQZ_T_IN_PLACE,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = sqz_scatter_elements_run,
    .prepare = sqz_move_prepare,
    .cost = sqz_move_cost,
    .grad = sqz_scatter_elements_grad,
    .grad_prepare = sqz_scatter_grad_prepare,
    .quant = {.kind = SQZ_Q_SAME, .data_inputs = 5},
    .onnx = {.op_type = "ScatterElements", .also = "Scatter", .since = 9, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
