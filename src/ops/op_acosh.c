/* acosh: y = acosh(x). */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

SQZ_EW_UNARY_FLOAT(acosh(v))

SQZ_EW_GRAD(, 1 / sqrt(v * v - 1))

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = 1, .hi = 5},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = 1, .hi = 5},
};

const sqz_op sqz_op_acosh = {
    .info = {.name = "acosh", .doc = "inverse hyperbolic cosine"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Acosh", .since = 9},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
