/* floor: y = the largest integer that is not above x. */
#include "ops/ew.h"
#include <tgmath.h>

SQZ_EW_UNARY_FAST(floor, floor(v))

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -4, .hi = 4},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -4, .hi = 4},
};

const sqz_op sqz_op_floor = {
    .info = {.name = "floor", .doc = "largest integer that is not above x"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    .no_grad = "a step function: flat wherever it has a slope",
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Floor", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
