/* sigmoid: y = 1 / (1 + e^-x); int8 output on the grid 1/256, -128. */
#include "ops/ew.h"

static void map(const void *attrs, const float *x, float *y, size_t n)
{
    (void)attrs;
    for (size_t i = 0; i < n; i++)
        y[i] = 1.0f / (1.0f + expf(-x[i]));
}

static sqz_status run(const sqz_call *c) { return sqz_ew_run(c, map); }
static sqz_status prepare(sqz_prep *p) { return sqz_lut_prepare(p, map); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -6, .hi = 6},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -6, .hi = 6},
};

const sqz_op sqz_op_sigmoid = {
    .info = {.name = "sigmoid", .doc = "1 / (1 + e^-x)"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    .quant = {.kind = SQZ_Q_LUT, .fixed_scale = 1.0f / 256, .fixed_zero = -128},
    .onnx = {.op_type = "Sigmoid", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
