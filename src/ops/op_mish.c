/* mish: y = x * tanh(ln(1 + e^x)) (Misra 2019). */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

SQZ_EW_UNARY_FAST(mish, tanh(fmax(v, (T)0) + log1p(exp(-fabs(v)))) * v)

/* with t = tanh(softplus(x)): t + x * (1 - t^2) * sigmoid(x) */
static float slope(float v)
{
    const float t = tanhf(fmaxf(v, 0) + log1pf(expf(-fabsf(v))));
    return t + v * (1 - t * t) / (1 + expf(-v));
}
SQZ_EW_GRAD(, slope(v))

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -4, .hi = 4},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -4, .hi = 4},
};

const sqz_op sqz_op_mish = {
    .info = {.name = "mish", .doc = "x * tanh(ln(1 + e^x))"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Mish", .since = 18},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
