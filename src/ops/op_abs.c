/* abs: y = |x|. */
#include "ops/ew.h"

static void map(const void *attrs, const float *x, float *y, size_t n)
{
    (void)attrs;
    for (size_t i = 0; i < n; i++)
        y[i] = fabsf(x[i]);
}

static sqz_status run(const sqz_call *c) { return sqz_ew_run(c, map); }
static sqz_status prepare(sqz_prep *p) { return sqz_lut_prepare(p, map); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
};

const sqz_op sqz_op_abs = {
    .info = {.name = "abs", .doc = "|x|"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Abs", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
