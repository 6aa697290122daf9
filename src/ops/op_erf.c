/* erf: y = erf(x), the Gauss error function. */
#include "ops/ew.h"
#include <tgmath.h>

SQZ_FLOATS(SQZ_EW_MAP, map, , erf(v))
SQZ_WHOLES(SQZ_EW_MAP, map, , erf((float)v)) /* 1 from 4 on, where float rounds */
static const sqz_ew_maps maps = {{SQZ_FLOATS(SQZ_EW_OF, map) SQZ_WHOLES(SQZ_EW_OF, map)}};
SQZ_EW_UNARY_FUNCTIONS

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -3, .hi = 3},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -3, .hi = 3},
    {.attrs = "", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -9, .hi = 9, .dtype = {SQZ_S64}},
};

const sqz_op sqz_op_erf = {
    .info = {.name = "erf", .doc = "Gauss error function"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Erf", .since = 9},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
