/* gelu: y = x/2 * (1 + erf(x/sqrt(2))), or its tanh form (Hendrycks & Gimpel 2016). */
#include "ops/ew.h"
#include <tgmath.h>

typedef struct attrs {
    int64_t approximate;
} attrs;
static const sqz_attr schema[] = {{.name = "approximate",
                                   .offset = offsetof(attrs, approximate),
                                   .type = SQZ_A_ENUM,
                                   .names = "none|tanh",
                                   .max = 1,
                                   .doc = "tanh: the cubic approximation"}};

/* sqrt(1/2) and sqrt(2/pi) */
#define EXACT (erf(v * (T)0.70710678118654752440))
#define CUBIC (tanh((T)0.79788456080286535588 * (v + (T)0.044715 * v * v * v)))
SQZ_FLOATS(SQZ_EW_MAP, map, const bool cubic = ((const attrs *)opts)->approximate != 0,
           (T)0.5 * v * ((T)1 + (cubic ? CUBIC : EXACT)))
static sqz_map_kind choose(const void *opts, float p[2])
{
    (void)p;
    return ((const attrs *)opts)->approximate ? SQZ_MAP_gelu_tanh : SQZ_MAP_gelu;
}
static const sqz_ew_maps maps = {.of = {SQZ_FLOATS(SQZ_EW_OF, map)}, .choose = choose};
SQZ_EW_UNARY_FUNCTIONS

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -3, .hi = 3},
    {.attrs = "approximate=tanh", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -3, .hi = 3},
};

const sqz_op sqz_op_gelu = {
    .info = {.name = "gelu",
             .doc = "x/2 * (1 + erf(x/sqrt(2)))",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Gelu", .since = 20},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
