/* hard_sigmoid: y = max(0, min(1, alpha * x + beta)); NaN goes through. */
#include "ops/ew.h"
#include "ops/grad.h"

typedef struct attrs {
    double alpha, beta;
} attrs;
static const sqz_attr schema[] = {
    {.name = "alpha",
     .offset = offsetof(attrs, alpha),
     .type = SQZ_A_FLOAT,
     .def = 0.2f,
     .min = -INFINITY,
     .max = INFINITY,
     .doc = "slope"},
    {.name = "beta",
     .offset = offsetof(attrs, beta),
     .type = SQZ_A_FLOAT,
     .def = 0.5,
     .min = -INFINITY,
     .max = INFINITY,
     .doc = "value at 0"},
};

#define LINE (beta + alpha * v)
SQZ_FLOATS(SQZ_EW_MAP, map, const T alpha = (T)((const attrs *)opts)->alpha;
           const T beta = (T)((const attrs *)opts)->beta, LINE<0 ? 0 : LINE> 1 ? 1 : LINE)
static sqz_map_kind choose(const void *opts, float p[2])
{
    const attrs *at = opts;
    p[0] = (float)at->alpha;
    p[1] = (float)at->beta;
    return SQZ_MAP_hard_sigmoid;
}
static const sqz_ew_maps maps = {.of = {SQZ_FLOATS(SQZ_EW_OF, map)}, .choose = choose};
SQZ_EW_UNARY_FUNCTIONS

SQZ_EW_GRAD(const T alpha = (T)((const attrs *)opts)->alpha;
            const T beta = (T)((const attrs *)opts)->beta, LINE > 0 && LINE < 1 ? alpha : 0)

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -4, .hi = 4},
    {.attrs = "alpha=0.3", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -4, .hi = 4},
};

const sqz_op sqz_op_hard_sigmoid = {
    .info = {.name = "hard_sigmoid",
             .doc = "max(0, min(1, alpha * x + beta))",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "HardSigmoid", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
