/* softplus: y = ln(1 + e^x), without overflow for large x. */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

SQZ_EW_UNARY_FAST(softplus, fmax(v, (T)0) + log1p(exp(-fabs(v))))

SQZ_EW_GRAD(, 1 / (1 + exp(-v)))

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -4, .hi = 4},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -4, .hi = 4},
};

const sqz_op sqz_op_softplus = {
    .info = {.name = "softplus", .doc = "ln(1 + e^x)"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Softplus", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
