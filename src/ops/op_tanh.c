/* tanh: y = tanh(x); int8 output on the grid 1/128, 0. */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

SQZ_EW_UNARY_FAST(tanh, tanh(v))

SQZ_EW_GRAD_OUT(, 1 - v * v)

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -3, .hi = 3},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -3, .hi = 3},
};

const sqz_op sqz_op_tanh = {
    .info = {.name = "tanh", .doc = "hyperbolic tangent"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS_OUT,
    .quant = {.kind = SQZ_Q_LUT, .fixed_scale = 1.0f / 128, .fixed_zero = 0},
    .onnx = {.op_type = "Tanh", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
