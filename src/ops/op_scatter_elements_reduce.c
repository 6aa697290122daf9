/* scatter_elements_reduce: x with updates added to or multiplied with the numbers at indexed
 * places, one after another. As scatter_elements, but not possible on codes of a grid. */
#include "ops/indexing.h"

static sqz_status infer(sqz_infer *q)
{
    SQZ_TRY(sqz_scatter_check(q, true));
    return sqz_scatter_elements_infer(q);
}

static const sqz_case cases[] = {
    {.attrs = "axis=0 reduction=add",
     .n_in = 3,
     .in = {{2, {3, 4}}, {2, {2, 4}}, {2, {2, 4}}},
     .lo = -3,
     .hi = 2,
     .constant = 6,
     .dtype = {SQZ_F32, SQZ_S64, SQZ_F32}},
    {.attrs = "axis=1 reduction=mul",
     .n_in = 3,
     .in = {{3, {3, 3, 3}}, {3, {2, 3, 1}}, {3, {2, 3, 1}}},
     .lo = -3,
     .hi = 2,
     .constant = 6,
     .dtype = {SQZ_F32, SQZ_S32, SQZ_F32}},
    {.attrs = "axis=-1 reduction=add",
     .n_in = 3,
     .in = {{1, {5}}, {1, {4}}, {1, {4}}},
     .lo = -3,
     .hi = 2,
     .constant = 6,
     .dtype = {SQZ_F32, SQZ_S64, SQZ_F32}},
    {.attrs = "axis=0 reduction=add",
     .n_in = 3,
     .in = {{2, {3, 4}}, {2, {2, 4}}, {2, {2, 4}}},
     .lo = -3,
     .hi = 2,
     .dtype = {SQZ_S32, SQZ_S64, SQZ_S32}},
};

const sqz_op sqz_op_scatter_elements_reduce = {
    .info = {.name = "scatter_elements_reduce",
             .doc = "adds or multiplies updates at indexed places",
             .opt_size = sizeof(sqz_scatter_attrs),
             .opts = sqz_scatter_elements_schema,
             .n_opts = SQZ_COUNT(sqz_scatter_elements_schema)},
    .n_in_min = 3,
    .n_in_max = 3,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_TYPES | SQZ_T_IN_PLACE,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = sqz_scatter_elements_run,
    .prepare = sqz_move_prepare,
    .cost = sqz_move_cost,
    .grad = sqz_scatter_elements_grad,
    .grad_prepare = sqz_scatter_grad_prepare,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "ScatterElements", .since = 16},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
