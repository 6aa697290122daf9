/* elu: y = x for x >= 0, alpha * (e^x - 1) below. */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

typedef struct attrs {
    double alpha;
} attrs;
static const sqz_attr schema[] = {
    {.name = "alpha",
     .offset = offsetof(attrs, alpha),
     .type = SQZ_A_FLOAT,
     .def = 1.0,
     .min = -INFINITY,
     .max = INFINITY,
     .doc = "scale below 0"},
};

SQZ_FLOATS(SQZ_EW_MAP, map, const T alpha = (T)((const attrs *)opts)->alpha,
           v < 0 ? alpha * expm1(v) : v)
static sqz_map_kind choose(const void *opts, float p[2])
{
    const attrs *at = opts;
    p[0] = (float)at->alpha;
    return SQZ_MAP_elu;
}
static const sqz_ew_maps maps = {.of = {SQZ_FLOATS(SQZ_EW_OF, map)}, .choose = choose};
SQZ_EW_UNARY_FUNCTIONS

SQZ_EW_GRAD(const T alpha = (T)((const attrs *)opts)->alpha, v < 0 ? alpha * exp(v) : 1)

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -3, .hi = 3},
    {.attrs = "alpha=0.3", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -3, .hi = 3},
};

const sqz_op sqz_op_elu = {
    .info = {.name = "elu",
             .doc = "x for x >= 0, alpha * (e^x - 1) below",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Elu", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
