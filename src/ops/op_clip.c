/* clip: y = min(max(x, min), max). Attributes at opset 6, inputs from 11 on; Relu6 is 0 .. 6.
 * Bounds that are computed, and those of integers, are left to max and min. */
#include "ops/build.h"
#include "ops/ew.h"
#include "ops/grad.h"

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

/* NaN goes through; max wins over min. */
#define RAISED (v < lo ? lo : v)
SQZ_FLOATS(SQZ_EW_MAP, map, const T lo = (T)((const attrs *)opts)->min;
           const T hi = (T)((const attrs *)opts)->max, RAISED > hi ? hi : RAISED)
static sqz_map_kind choose(const void *opts, float p[2])
{
    const attrs *at = opts;
    p[0] = (float)at->min;
    p[1] = (float)at->max;
    return SQZ_MAP_clip;
}
static const sqz_ew_maps maps = {.of = {SQZ_FLOATS(SQZ_EW_OF, map)}, .choose = choose};
SQZ_EW_UNARY_FUNCTIONS

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    sqz_build b = {.im = im};
    const sqz_dtype d = sqz_val(im->g, im->in[0])->dtype;
    bool known = sqz_dtype_is_float(d) && d != SQZ_F64; /* attributes are written as float */
    for (unsigned i = 1; i < im->n_in; i++)
        if (im->in[i] != SQZ_NONE) {
            SQZ_TRY(sqz_fold_value(im->g, im->in[i]));
            known = known && sqz_val(im->g, im->in[i])->constant;
        }
    if (im->opset < 11 || known)
        return sqz_import_node(im, op, NULL, NULL, 0);
    sqz_vid y = im->in[0];
    if (sqz_b_in(&b, 1) != SQZ_NONE)
        y = sqz_b(&b, "max", NULL, 2, y, im->in[1]);
    if (sqz_b_in(&b, 2) != SQZ_NONE)
        y = sqz_b(&b, "min", NULL, 2, y, im->in[2]);
    return sqz_b_end(&b, 1, y);
}

/* The bounds have the type of x. */
static sqz_status write(sqz_export *e)
{
    SQZ_TRY(sqz_export_schema(e));
    const sqz_dtype d = sqz_val(e->g, e->node->in[0])->dtype;
    for (unsigned i = 1; i < e->n_in; i++)
        e->in[i].real = sqz_dtype_is_float(d) ? d : SQZ_F32;
    return SQZ_OK;
}

/* Between the bounds; at them as well, as everywhere. */
SQZ_EW_GRAD(const T lo = (T)((const attrs *)opts)->min;
            const T hi = (T)((const attrs *)opts)->max, v >= lo && v <= hi)

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
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Clip", .since = 1, .import = import, .write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
