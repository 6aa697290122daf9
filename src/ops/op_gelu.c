/* gelu: y = x/2 * (1 + erf(x/sqrt(2))), or its tanh form (Hendrycks & Gimpel 2016). */
#include "ops/ew.h"
#include "ops/grad.h"
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

/* exact: Phi(x) + x phi(x); with t the tanh of u(x): (1 + t) / 2 + x (1 - t^2) / 2 * u'(x) */
static float slope_exact(float v)
{
    return 0.5f * (1 + erff(v * 0.70710678118654752440f)) +
           v * 0.39894228040143267794f * expf(-0.5f * v * v);
}
static float slope_cubic(float v)
{
    const float t = tanhf(0.79788456080286535588f * (v + 0.044715f * v * v * v));
    return 0.5f * (1 + t) +
           0.5f * v * (1 - t * t) * 0.79788456080286535588f * (1 + 3 * 0.044715f * v * v);
}
SQZ_EW_GRAD(const bool cubic = ((const attrs *)opts)->approximate != 0,
            cubic ? slope_cubic(v) : slope_exact(v))

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
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Gelu", .since = 20},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
