/* thresholded_relu: y = x where x > alpha, else 0, NaN included. */
#include "ops/ew.h"
#include "ops/grad.h"

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
     .doc = "threshold"},
};

SQZ_FLOATS(SQZ_EW_MAP, map, const T alpha = (T)((const attrs *)opts)->alpha, v > alpha ? v : 0)
static const sqz_ew_maps maps = {.of = {SQZ_FLOATS(SQZ_EW_OF, map)}};
SQZ_EW_UNARY_FUNCTIONS

SQZ_EW_GRAD(const T alpha = (T)((const attrs *)opts)->alpha, v > alpha)

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -3, .hi = 3},
    {.attrs = "alpha=0.3", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -3, .hi = 3},
};

const sqz_op sqz_op_thresholded_relu = {
    .info = {.name = "thresholded_relu",
             .doc = "x above alpha, else 0",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "ThresholdedRelu", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
