/* tanh: y = tanh(x); int8 output on the grid 1/128, 0. */
#include "ops/ew.h"

static void map(const void *attrs, const float *x, float *y, size_t n)
{
    (void)attrs;
    for (size_t i = 0; i < n; i++)
        y[i] = tanhf(x[i]);
}

static sqz_status run(const sqz_call *c) { return sqz_ew_run(c, map); }
static sqz_status prepare(sqz_prep *p) { return sqz_lut_prepare(p, map); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -3, .hi = 3},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -3, .hi = 3},
};

const sqz_op sqz_op_tanh = {
    .info = {.name = "tanh", .doc = "hyperbolic tangent"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    .quant = {.kind = SQZ_Q_LUT, .fixed_scale = 1.0f / 128, .fixed_zero = 0},
    .onnx = {.op_type = "Tanh", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
