/* asin: y = asin(x). */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

SQZ_EW_UNARY_FLOAT(asin(v))

SQZ_EW_GRAD(, 1 / sqrt(1 - v * v))

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -1, .hi = 1},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -1, .hi = 1},
};

const sqz_op sqz_op_asin = {
    .info = {.name = "asin", .doc = "arc sine"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Asin", .since = 7},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
