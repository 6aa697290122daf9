/* layer_norm: y = (x - mean) / sqrt(variance + epsilon) * scale + bias over the last axes (Ba et
 * al. 2016); further outputs: mean and 1 / sqrt(variance + epsilon). */
#include "ops/norm.h"
#include "ops/ties.h"

static sqz_status run(const sqz_call *c) { return sqz_row_norm_run(c, true); }

static const sqz_case cases[] = {
    {.attrs = "",
     .n_in = 3,
     .in = {{3, {2, 3, 10}}, {1, {10}}, {1, {10}}},
     .constant = 6,
     .lo = -2,
     .hi = 3},
    {.attrs = "axis=1 epsilon=0.01", .n_in = 2, .in = {{3, {2, 3, 4}}, {2, {3, 4}}}, .constant = 2},
    {.attrs = "axis=-2",
     .n_in = 3,
     .in = {{4, {2, 2, 3, 4}}, {3, {2, 1, 4}}, {1, {1}}},
     .constant = 6},
};

const sqz_op sqz_op_layer_norm = {
    .info = {.name = "layer_norm",
             .doc = "normalization by mean and variance over the last axes",
             .opt_size = sizeof(sqz_row_norm_attrs),
             .opts = sqz_row_norm_schema,
             .n_opts = SQZ_COUNT(sqz_row_norm_schema)},
    .n_in_min = 2,
    .n_in_max = 3,
    .n_out_min = 1,
    .n_out_max = 3,
    .traits = SQZ_T_IN_PLACE,
    .layout = SQZ_L_FILE,
    .infer = sqz_row_norm_infer,
    .run = run,
    .cost = sqz_row_norm_cost,
    .prepare = sqz_row_norm_prepare,
    .grad = sqz_layer_norm_grad,
    .grad_prepare = sqz_layer_norm_grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .ties = sqz_row_norm_ties,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "LayerNormalization", .since = 17},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
