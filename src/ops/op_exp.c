/* exp: y = e^x. */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

SQZ_EW_UNARY_FAST(exp, exp(v))

SQZ_EW_GRAD_OUT(, v)

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
};

const sqz_op sqz_op_exp = {
    .info = {.name = "exp", .doc = "e^x"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS_OUT,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Exp", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
