/* reciprocal: y = 1 / x. */
#include "ops/ew.h"
#include "ops/grad.h"

SQZ_EW_UNARY_FAST(reciprocal, (T)1 / v)

SQZ_EW_GRAD_OUT(, -v *v)

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = 0.5, .hi = 2},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = 0.5, .hi = 2},
};

const sqz_op sqz_op_reciprocal = {
    .info = {.name = "reciprocal", .doc = "1 / x"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS_OUT,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Reciprocal", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
