/* gelu: y = x/2 * (1 + erf(x/sqrt(2))), or its tanh form (Hendrycks & Gimpel 2016). */
#include "ops/ew.h"

typedef struct attrs {
    int64_t approximate;
} attrs;
static const sqz_attr schema[] = {{.name = "approximate",
                                   .offset = offsetof(attrs, approximate),
                                   .type = SQZ_A_ENUM,
                                   .names = "none|tanh",
                                   .max = 1,
                                   .doc = "tanh: the cubic approximation"}};

static void map(const void *opts, const float *x, float *y, size_t n)
{
    const float root = 0.70710678f, inner = 0.79788456f; /* sqrt(1/2), sqrt(2/pi) */
    const bool cubic = ((const attrs *)opts)->approximate != 0;
    for (size_t i = 0; i < n; i++) {
        float v = x[i];
        float g = cubic ? tanhf(inner * (v + 0.044715f * v * v * v)) : erff(v * root);
        y[i] = 0.5f * v * (1.0f + g);
    }
}

static sqz_status run(const sqz_call *c) { return sqz_ew_run(c, map); }
static sqz_status prepare(sqz_prep *p) { return sqz_lut_prepare(p, map); }

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
