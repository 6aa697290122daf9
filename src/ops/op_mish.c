/* mish: y = x * tanh(ln(1 + e^x)) (Misra 2019). */
#include "ops/ew.h"
#include <tgmath.h>

SQZ_EW_UNARY_FAST(mish, tanh(fmax(v, (T)0) + log1p(exp(-fabs(v)))) * v)

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -4, .hi = 4},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -4, .hi = 4},
};

const sqz_op sqz_op_mish = {
    .info = {.name = "mish", .doc = "x * tanh(ln(1 + e^x))"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Mish", .since = 18},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
