/* pad: adds elements before and after each axis. Negative pads cut, before anything is added. */
#include "ir/qround.h"
#include "ops/move.h"
#include <math.h>

typedef struct attrs {
    sqz_ints pads;
    int64_t mode;
    double value;
} attrs;
enum { CONSTANT, REFLECT, EDGE, WRAP };
static const sqz_attr schema[] = {
    {.name = "pads",
     .offset = offsetof(attrs, pads),
     .type = SQZ_A_INTS,
     .min = -INT32_MAX,
     .max = INT32_MAX,
     .flags = SQZ_AF_REQUIRED | SQZ_AF_PER_AXIS2,
     .slot = 1,
     .since = 11,
     .doc = "begins of all axes, then ends"},
    {.name = "mode",
     .offset = offsetof(attrs, mode),
     .type = SQZ_A_ENUM,
     .max = WRAP,
     .names = "constant|reflect|edge|wrap",
     .doc = "where new elements come from"},
    {.name = "value",
     .offset = offsetof(attrs, value),
     .type = SQZ_A_FLOAT,
     .min = -INFINITY,
     .max = INFINITY,
     .slot = 2,
     .since = 11,
     .doc = "of new elements, constant mode"},
};

/* What is left of an axis of n after the cuts: [lo, hi). */
static void cut(const attrs *at, int32_t rank, int32_t axis, int64_t n, int64_t *lo, int64_t *hi)
{
    *lo = SQZ_MAX(-at->pads.v[axis], 0);
    *hi = n - SQZ_MAX(-at->pads.v[rank + axis], 0);
}

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape;
    if (at->pads.n != 2 * (uint32_t)x->rank)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "%u pads for an input of rank %d, expected %d",
                        (unsigned)at->pads.n, (int)x->rank, 2 * (int)x->rank);
    q->out[0] = *x;
    for (int32_t i = 0; i < x->rank; i++) {
        const int64_t b = at->pads.v[i], e = at->pads.v[x->rank + i], n = x->dim[i];
        int64_t lo, hi;
        cut(at, x->rank, i, n, &lo, &hi);
        const int64_t room[] = {INT32_MAX, hi - lo - 1, hi > lo ? INT32_MAX : 0, hi - lo};
        if (hi < lo || n > INT64_MAX / 2)
            return sqz_fail(q->ctx, SQZ_E_SHAPE,
                            "pads %lld, %lld cut more than the %lld of axis %d", (long long)b,
                            (long long)e, (long long)n, (int)i);
        if (b > room[at->mode] || e > room[at->mode])
            return sqz_fail(q->ctx, SQZ_E_SHAPE,
                            "pads %lld, %lld of axis %d; %lld at most in this mode", (long long)b,
                            (long long)e, (int)i, (long long)SQZ_MAX(room[at->mode], 0));
        q->out[0].dim[i] = n + b + e;
    }
    return SQZ_OK;
}

/* Input coordinate that stands at i, in or outside of what is left; -1: the fill value. */
static int64_t source(int64_t mode, int64_t i, int64_t lo, int64_t hi)
{
    if (i >= lo && i < hi)
        return i;
    switch (mode) {
    case REFLECT: return i < lo ? 2 * lo - i : 2 * (hi - 1) - i;
    case EDGE: return i < lo ? lo : hi - 1;
    case WRAP: return i < lo ? i + (hi - lo) : i - (hi - lo);
    default: return -1;
    }
}

static void map(const void *opts, const sqz_prep *p, int32_t axis, int64_t in, int64_t out,
                int64_t *m)
{
    const attrs *at = opts;
    int64_t lo, hi;
    cut(at, p->in[0]->shape.rank, axis, in, &lo, &hi);
    for (int64_t i = 0; i < out; i++)
        m[i] = source(at->mode, i - at->pads.v[axis], lo, hi);
}
static sqz_status prepare(sqz_prep *p) { return sqz_maps_prepare(p, map); }

static sqz_status run(const sqz_call *c)
{
    const sqz_quant *grid = c->out_q ? c->out_q[0] : NULL;
    const double value = ((const attrs *)c->attrs)->value;
    _Alignas(8) unsigned char fill[8] = {0};
    sqz_tensor t = {.dtype = c->out[0]->dtype, .count = 1, .data = fill};
    if (grid && grid->dtype == SQZ_S8)
        fill[0] = (unsigned char)sqz_qround((float)value, grid->scale[0], grid->zero[0], -128, 127);
    else
        sqz_tensor_set_f64(&t, 0, value);
    return sqz_maps_run(c, fill);
}

/* Pads of some axes (opset 18) become pads of all. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    attrs at;
    const sqz_tensor *axes = NULL;
    const int32_t rank = sqz_val(im->g, im->in[0])->shape.rank;
    SQZ_TRY(sqz_import_attrs(im, op, &at));
    if (im->n_in > 3)
        SQZ_TRY(sqz_import_const(im, 3, &axes));
    if (axes) {
        const sqz_ints some = at.pads;
        const uint32_t n = (uint32_t)axes->count;
        int64_t *v;
        if (some.n != 2 * axes->count)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "%u pads for %zu axes", (unsigned)some.n,
                            axes->count);
        SQZ_TRY(sqz_ints_new(&im->g->arena, 2 * (uint32_t)rank, &at.pads, &v));
        for (uint32_t i = 0; i < n; i++) {
            int32_t a = 0;
            SQZ_TRY(sqz_axis(im->g->ctx, sqz_tensor_i64(axes, i), rank, &a));
            v[a] = some.v[i];
            v[rank + a] = some.v[n + i];
        }
    }
    return sqz_import_node(im, op, &at, im->in, 1);
}

static const sqz_case cases[] = {
    {.attrs = "pads=0,1,2,0,0,1,0,0", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "pads=0,1,0,2 value=0.5", .n_in = 1, .in = {{2, {3, 5}}}},
    {.attrs = "pads=0,2,2,0,0,1,1,0 mode=reflect", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "pads=0,3,0,-2 mode=edge", .n_in = 1, .in = {{2, {3, 5}}}},
};

const sqz_op sqz_op_pad = {
    .info = {.name = "pad",
             .doc = "adds elements around a tensor",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_MOVES,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .prepare = prepare,
    .cost = sqz_move_cost,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Pad", .since = 2, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
