/* clip: y = min(max(x, min), max). Attributes at opset 6, inputs from 11 on; Relu6 is 0 .. 6. */
#include "ops/ew.h"

typedef struct attrs {
    double min, max;
} attrs;
static const sqz_attr schema[] = {
    {.name = "min",
     .offset = offsetof(attrs, min),
     .type = SQZ_A_FLOAT,
     .def = -INFINITY,
     .min = -INFINITY,
     .max = INFINITY,
     .slot = 1,
     .since = 11,
     .doc = "lower bound"},
    {.name = "max",
     .offset = offsetof(attrs, max),
     .type = SQZ_A_FLOAT,
     .def = INFINITY,
     .min = -INFINITY,
     .max = INFINITY,
     .slot = 2,
     .since = 11,
     .doc = "upper bound"},
};

static void map(const void *opts, const float *x, float *y, size_t n)
{
    const attrs *at = opts;
    const float lo = (float)at->min, hi = (float)at->max;
    for (size_t i = 0; i < n; i++) { /* NaN goes through; hi wins over lo */
        float v = x[i] < lo ? lo : x[i];
        y[i] = v > hi ? hi : v;
    }
}

static sqz_status run(const sqz_call *c) { return sqz_ew_run(c, map); }
static sqz_status prepare(sqz_prep *p) { return sqz_lut_prepare(p, map); }

static const sqz_case cases[] = {
    {.attrs = "min=0 max=6", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -3, .hi = 9},
    {.attrs = "min=-0.5 max=0.25", .n_in = 1, .in = {{2, {3, 5}}}},
    {.attrs = "max=0.5", .n_in = 1, .in = {{1, {7}}}},
};

const sqz_op sqz_op_clip = {
    .info = {.name = "clip",
             .doc = "min(max(x, min), max)",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS | SQZ_T_RELU_LIKE,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Clip", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
