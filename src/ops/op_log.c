/* log: y = ln(x). */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

SQZ_EW_UNARY_FAST(log, log(v))

SQZ_EW_GRAD(, 1 / v)

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = 0.1, .hi = 4},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = 0.1, .hi = 4},
};

const sqz_op sqz_op_log = {
    .info = {.name = "log", .doc = "natural logarithm"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Log", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
