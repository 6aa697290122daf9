/* sign: y = -1, 0 or 1; NaN goes through. */
#include "ops/ew.h"

SQZ_FLOATS(SQZ_EW_MAP, map, , v > 0 ? 1 : v < 0 ? -1 : v)
SQZ_SIGNED(SQZ_EW_MAP, map, , (v > 0) - (v < 0))
SQZ_UNSIGNED(SQZ_EW_MAP, map, , v > 0)
static const sqz_ew_maps maps = {
    .of = {SQZ_FLOATS(SQZ_EW_OF, map) SQZ_SIGNED(SQZ_EW_OF, map) SQZ_UNSIGNED(SQZ_EW_OF, map)}};
SQZ_EW_UNARY_FUNCTIONS

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -9, .hi = 9, .dtype = {SQZ_S64}},
};

const sqz_op sqz_op_sign = {
    .info = {.name = "sign", .doc = "-1, 0 or 1"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    .no_grad = "a step function: flat wherever it has a slope",
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Sign", .since = 9},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
