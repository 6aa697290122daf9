/* rms_norm: y = x / sqrt(mean of x^2 + epsilon) * scale over the last axes (Zhang & Sennrich 2019).
 */
#include "ops/norm.h"
#include "ops/ties.h"

static sqz_status run(const sqz_call *c) { return sqz_row_norm_run(c, false); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 2, .in = {{3, {2, 3, 10}}, {1, {10}}}, .constant = 2},
    {.attrs = "axis=1 epsilon=0.01", .n_in = 2, .in = {{3, {2, 3, 4}}, {1, {4}}}, .constant = 2},
};

const sqz_op sqz_op_rms_norm = {
    .info = {.name = "rms_norm",
             .doc = "normalization by the mean square over the last axes",
             .opt_size = sizeof(sqz_row_norm_attrs),
             .opts = sqz_row_norm_schema,
             .n_opts = SQZ_COUNT(sqz_row_norm_schema)},
    .n_in_min = 2,
    .n_in_max = 2,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_IN_PLACE,
    .layout = SQZ_L_FILE,
    .infer = sqz_row_norm_infer,
    .run = run,
    .cost = sqz_row_norm_cost,
    .prepare = sqz_row_norm_prepare,
    .ties = sqz_row_norm_ties,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "RMSNormalization", .since = 23},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
