/* elu: y = x for x >= 0, alpha * (e^x - 1) below. */
#include "ops/ew.h"

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

static void map(const void *opts, const float *x, float *y, size_t n)
{
    const float a = (float)((const attrs *)opts)->alpha;
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] < 0.0f ? a * expm1f(x[i]) : x[i];
}

static sqz_status run(const sqz_call *c) { return sqz_ew_run(c, map); }
static sqz_status prepare(sqz_prep *p) { return sqz_lut_prepare(p, map); }

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
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Elu", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
