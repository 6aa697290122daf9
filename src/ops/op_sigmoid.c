/* sigmoid: y = 1 / (1 + e^-x); int8 output on the grid 1/256, -128. */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

SQZ_EW_UNARY_FAST(sigmoid, (T)1 / ((T)1 + exp(-v)))

SQZ_EW_GRAD_OUT(, v *(1 - v))

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -6, .hi = 6},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -6, .hi = 6},
};

const sqz_op sqz_op_sigmoid = {
    .info = {.name = "sigmoid", .doc = "1 / (1 + e^-x)"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS_OUT,
    .quant = {.kind = SQZ_Q_LUT, .fixed_scale = 1.0f / 256, .fixed_zero = -128},
    .onnx = {.op_type = "Sigmoid", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
