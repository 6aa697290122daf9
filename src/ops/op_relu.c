/* relu: y = max(x, 0); NaN goes through. */
#include "ops/ew.h"
#include "ops/grad.h"

SQZ_FLOATS(SQZ_EW_MAP, map, , v < 0 ? 0 : v)
SQZ_SIGNED(SQZ_EW_MAP, map, , v < 0 ? 0 : v)
static sqz_map_kind choose(const void *opts, float p[2])
{
    (void)opts;
    p[1] = INFINITY;
    return SQZ_MAP_clip;
}
static const sqz_ew_maps maps = {.of = {SQZ_FLOATS(SQZ_EW_OF, map) SQZ_SIGNED(SQZ_EW_OF, map)},
                                 .choose = choose};
SQZ_EW_UNARY_FUNCTIONS

SQZ_EW_GRAD_OUT(, v > 0)

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -9, .hi = 9, .dtype = {SQZ_S64}},
};

const sqz_op sqz_op_relu = {
    .info = {.name = "relu", .doc = "max(x, 0)"},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS | SQZ_T_RELU_LIKE,
    SQZ_EW_GRAD_COLUMNS_OUT,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Relu", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
