/* selu: y = gamma * x for x > 0, gamma * alpha * (e^x - 1) below (Klambauer et al. 2017). */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

typedef struct attrs {
    double alpha, gamma;
} attrs;
static const sqz_attr schema[] = {
    {.name = "alpha",
     .offset = offsetof(attrs, alpha),
     .type = SQZ_A_FLOAT,
     .def = 1.67326319217681884765625,
     .min = -INFINITY,
     .max = INFINITY,
     .doc = "scale below 0"},
    {.name = "gamma",
     .offset = offsetof(attrs, gamma),
     .type = SQZ_A_FLOAT,
     .def = 1.05070102214813232421875,
     .min = -INFINITY,
     .max = INFINITY,
     .doc = "scale of all"},
};

SQZ_FLOATS(SQZ_EW_MAP, map, const T alpha = (T)((const attrs *)opts)->alpha;
           const T gamma = (T)((const attrs *)opts)->gamma,
           v > 0 ? gamma * v : gamma * alpha * expm1(v))
static sqz_map_kind choose(const void *opts, float p[2])
{
    const attrs *at = opts;
    p[0] = (float)at->alpha;
    p[1] = (float)at->gamma;
    return SQZ_MAP_selu;
}
static const sqz_ew_maps maps = {.of = {SQZ_FLOATS(SQZ_EW_OF, map)}, .choose = choose};
SQZ_EW_UNARY_FUNCTIONS

/* The defaults had four decimals before opset 6. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    attrs at;
    SQZ_TRY(sqz_import_attrs(im, op, &at));
    if (im->opset < 6 && !sqz_import_attr(im, "alpha"))
        at.alpha = 1.6732f;
    if (im->opset < 6 && !sqz_import_attr(im, "gamma"))
        at.gamma = 1.0507f;
    return sqz_import_node(im, op, &at, im->in, im->n_in);
}

SQZ_EW_GRAD(const T alpha = (T)((const attrs *)opts)->alpha;
            const T gamma = (T)((const attrs *)opts)->gamma, v > 0 ? gamma : gamma * alpha * exp(v))

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -3, .hi = 3},
    {.attrs = "alpha=0.3 gamma=2", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -3, .hi = 3},
};

const sqz_op sqz_op_selu = {
    .info = {.name = "selu",
             .doc = "gamma * x for x > 0, gamma * alpha * (e^x - 1) below",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Selu", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
