/* abs: y = |x|. */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

SQZ_FLOATS(SQZ_EW_MAP, map, , fabs(v))
SQZ_SIGNED(SQZ_EW_MAP, map, , v < 0 ? 0 - (uint64_t)v : (uint64_t)v)
SQZ_UNSIGNED(SQZ_EW_MAP, map, , v)
static const sqz_ew_maps maps = {
    .of = {SQZ_FLOATS(SQZ_EW_OF, map) SQZ_SIGNED(SQZ_EW_OF, map) SQZ_UNSIGNED(SQZ_EW_OF, map)},
    .fast = SQZ_MAP_abs};
SQZ_EW_UNARY_FUNCTIONS

SQZ_EW_GRAD(, v > 0 ? 1 : v < 0 ? -1 : 0)

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -9, .hi = 9, .dtype = {SQZ_S64}},
};

const sqz_op sqz_op_abs = {
    .info = {.name = "abs", .doc = "|x|"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Abs", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
