/* hardmax: y = 1 at the first largest element along an axis, 0 elsewhere. */
#include "ops/softmax.h"
#include "ops/ties.h"

static void row(float *y, size_t n, size_t step)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (y[i * step] > y[best * step])
            best = i;
    for (size_t i = 0; i < n; i++)
        y[i * step] = i == best ? 1.0f : 0.0f;
}
static sqz_status run(const sqz_call *c) { return sqz_softmax_run(c, row); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{2, {3, 10}}}},
    {.attrs = "axis=1", .n_in = 1, .in = {{3, {2, 5, 3}}}},
};

const sqz_op sqz_op_hardmax = {
    .info = {.name = "hardmax",
             .doc = "1 at the largest element along an axis, 0 elsewhere",
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
    .ties = sqz_softmax_ties,
    .no_grad = "a step function: flat wherever it has a slope",
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Hardmax", .since = 1, .import = sqz_softmax_import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
