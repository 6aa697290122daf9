/* sign: y = -1, 0 or 1. */
#include "ops/ew.h"

static void map(const void *attrs, const float *x, float *y, size_t n)
{
    (void)attrs;
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((x[i] > 0.0f) - (x[i] < 0.0f));
}

static sqz_status run(const sqz_call *c) { return sqz_ew_run(c, map); }
static sqz_status prepare(sqz_prep *p) { return sqz_lut_prepare(p, map); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
};

const sqz_op sqz_op_sign = {
    .info = {.name = "sign", .doc = "-1, 0 or 1"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Sign", .since = 9},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
