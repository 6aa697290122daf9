/* log_softmax: y = x - max - ln(sum(e^(x - max))) along an axis. */
#include "ops/softmax.h"
#include "ops/ties.h"

static sqz_status run(const sqz_call *c) { return sqz_softmax_kernel(c, true); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{2, {3, 10}}}, .lo = -4, .hi = 4},
    {.attrs = "axis=1", .n_in = 1, .in = {{3, {2, 5, 3}}}, .lo = -4, .hi = 4},
};

const sqz_op sqz_op_log_softmax = {
    .info = {.name = "log_softmax",
             .doc = "logarithm of softmax",
             .opt_size = sizeof(sqz_softmax_attrs),
             .opts = sqz_softmax_schema,
             .n_opts = 1},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_IN_PLACE,
    .layout = SQZ_L_ANY,
    .infer = sqz_softmax_infer,
    .run = run,
    .cost = sqz_softmax_cost,
    .grad = sqz_softmax_grad_log,
    .grad_reads = SQZ_GRAD_OUT,
    .ties = sqz_softmax_ties,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "LogSoftmax", .since = 1, .import = sqz_softmax_import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
