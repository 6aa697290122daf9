/* hard_swish: y = x * max(0, min(1, x/6 + 1/2)) (Howard et al. 2019, MobileNetV3). */
#include "ops/ew.h"

static void map(const void *attrs, const float *x, float *y, size_t n)
{
    (void)attrs;
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * fmaxf(0.0f, fminf(1.0f, x[i] / 6.0f + 0.5f));
}

static sqz_status run(const sqz_call *c) { return sqz_ew_run(c, map); }
static sqz_status prepare(sqz_prep *p) { return sqz_lut_prepare(p, map); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -4, .hi = 4},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -4, .hi = 4},
};

const sqz_op sqz_op_hard_swish = {
    .info = {.name = "hard_swish", .doc = "x * max(0, min(1, x/6 + 1/2))"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "HardSwish", .since = 14},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
