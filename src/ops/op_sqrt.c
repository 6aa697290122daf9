/* sqrt: y = the square root of x. */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

SQZ_EW_UNARY_FAST(sqrt, sqrt(v))

SQZ_EW_GRAD_OUT(, (T)0.5 / v)

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = 0, .hi = 4},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = 0, .hi = 4},
};

const sqz_op sqz_op_sqrt = {
    .info = {.name = "sqrt", .doc = "square root"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS_OUT,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Sqrt", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
