/* hard_swish: y = x * max(0, min(1, x/6 + 1/2)) (Howard et al. 2019, MobileNetV3). */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

SQZ_EW_UNARY_FAST(hard_swish, fmax((T)0, fmin((T)1, v / (T)6 + (T)0.5)) * v)

SQZ_EW_GRAD(, v <= -3 ? 0 : v >= 3 ? 1 : v / 3 + (T)0.5)

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -4, .hi = 4},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -4, .hi = 4},
};

const sqz_op sqz_op_hard_swish = {
    .info = {.name = "hard_swish", .doc = "x * max(0, min(1, x/6 + 1/2))"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "HardSwish", .since = 14},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
