/* shrink: y = x + bias below -lambd, x - bias above lambd, 0 between; NaN becomes 0. */
#include "ops/ew.h"
#include "ops/grad.h"

typedef struct attrs {
    double lambd, bias;
} attrs;
static const sqz_attr schema[] = {
    {.name = "lambd",
     .offset = offsetof(attrs, lambd),
     .type = SQZ_A_FLOAT,
     .def = 0.5,
     .min = -INFINITY,
     .max = INFINITY,
     .doc = "half the width of what becomes 0"},
    {.name = "bias",
     .offset = offsetof(attrs, bias),
     .type = SQZ_A_FLOAT,
     .def = 0.0,
     .min = -INFINITY,
     .max = INFINITY,
     .doc = "how far the rest moves towards 0"},
};

static double shrink(const attrs *at, double x)
{
    return x < -at->lambd ? x + at->bias : x > at->lambd ? x - at->bias : 0;
}
SQZ_FLOATS(SQZ_EW_MAP, map, , shrink(opts, (double)v))
static int64_t shrink_whole(const attrs *at, double x)
{
    return (int64_t)fmax(-0x1p63, fmin(0x1p63 - 1024, shrink(at, x)));
}
SQZ_WHOLES(SQZ_EW_MAP, map, , shrink_whole(opts, (double)v))
static const sqz_ew_maps maps = {.of = {SQZ_FLOATS(SQZ_EW_OF, map) SQZ_WHOLES(SQZ_EW_OF, map)}};
SQZ_EW_UNARY_FUNCTIONS

SQZ_EW_GRAD(const T lambd = (T)((const attrs *)opts)->lambd, fabsf(v) > lambd)

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -2, .hi = 2},
    {.attrs = "lambd=0.3 bias=0.1", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -2, .hi = 2},
    {.attrs = "lambd=2 bias=1",
     .n_in = 1,
     .in = {{2, {3, 5}}},
     .lo = -9,
     .hi = 9,
     .dtype = {SQZ_S32}},
};

const sqz_op sqz_op_shrink = {
    .info = {.name = "shrink",
             .doc = "x moved towards 0 by bias outside of -lambd .. lambd, 0 inside",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Shrink", .since = 9},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
