/* swish: y = x * sigmoid(alpha * x) (Ramachandran et al. 2017); alpha 1 is SiLU. */
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
     .doc = "factor inside of the sigmoid"},
};

SQZ_FLOATS(SQZ_EW_MAP, map, const T alpha = (T)((const attrs *)opts)->alpha,
           v / ((T)1 + exp(-alpha * v)))
static sqz_map_kind choose(const void *opts, float p[2])
{
    const attrs *at = opts;
    p[0] = (float)at->alpha;
    return SQZ_MAP_swish;
}
static const sqz_ew_maps maps = {.of = {SQZ_FLOATS(SQZ_EW_OF, map)}, .choose = choose};
SQZ_EW_UNARY_FUNCTIONS

#define GATE (1 / (1 + exp(-alpha * v)))
SQZ_EW_GRAD(const T alpha = (T)((const attrs *)opts)->alpha, GATE *(1 + alpha * v * (1 - GATE)))

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -4, .hi = 4},
    {.attrs = "alpha=1.7", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -4, .hi = 4},
};

const sqz_op sqz_op_swish = {
    .info = {.name = "swish",
             .doc = "x / (1 + e^(-alpha*x))",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Swish", .since = 24},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
