/* softsign: y = x / (1 + |x|). */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

SQZ_EW_UNARY_FAST(softsign, v / ((T)1 + fabs(v)))

SQZ_EW_GRAD(, 1 / ((1 + fabs(v)) * (1 + fabs(v))))

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -4, .hi = 4},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -4, .hi = 4},
};

const sqz_op sqz_op_softsign = {
    .info = {.name = "softsign", .doc = "x / (1 + |x|)"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Softsign", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
