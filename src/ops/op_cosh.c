/* cosh: y = cosh(x). */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

SQZ_EW_UNARY_FLOAT(cosh(v))

SQZ_EW_GRAD(, sinh(v))

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -3, .hi = 3},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -3, .hi = 3},
};

const sqz_op sqz_op_cosh = {
    .info = {.name = "cosh", .doc = "hyperbolic cosine"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Cosh", .since = 9},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
