/* log: y = ln x. */
#include "ops/ew.h"

static void map(const void *attrs, const float *x, float *y, size_t n)
{
    (void)attrs;
    for (size_t i = 0; i < n; i++)
        y[i] = logf(x[i]);
}

static sqz_status run(const sqz_call *c) { return sqz_ew_run(c, map); }
static sqz_status prepare(sqz_prep *p) { return sqz_lut_prepare(p, map); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = 0.5, .hi = 4},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = 0.5, .hi = 4},
};

const sqz_op sqz_op_log = {
    .info = {.name = "log", .doc = "natural logarithm"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Log", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
