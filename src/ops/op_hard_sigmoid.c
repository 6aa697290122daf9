/* hard_sigmoid: y = max(0, min(1, alpha * x + beta)). */
#include "ops/ew.h"

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

static void map(const void *opts, const float *x, float *y, size_t n)
{
    const attrs *at = opts;
    const float a = (float)at->alpha, b = (float)at->beta;
    for (size_t i = 0; i < n; i++) {
        float v = a * x[i] + b;
        y[i] = v < 0.0f ? 0.0f : v > 1.0f ? 1.0f : v; /* NaN goes through */
    }
}

static sqz_status run(const sqz_call *c) { return sqz_ew_run(c, map); }
static sqz_status prepare(sqz_prep *p) { return sqz_lut_prepare(p, map); }

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
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "HardSigmoid", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
