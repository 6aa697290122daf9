/* asinh: y = asinh(x). */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

SQZ_EW_UNARY_FLOAT(asinh(v))

SQZ_EW_GRAD(, 1 / sqrt(v * v + 1))

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -4, .hi = 4},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -4, .hi = 4},
};

const sqz_op sqz_op_asinh = {
    .info = {.name = "asinh", .doc = "inverse hyperbolic sine"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Asinh", .since = 9},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
