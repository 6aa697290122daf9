/* pad: adds elements before and after each axis. Negative pads cut, before anything is added.
 * reflect and wrap go on periodically where the pad is longer than what is left of the axis. The
 * value of new elements may also be input 1, one number: when it is computed, or an integer that an
 * attribute cannot hold. */
#include "ir/qround.h"
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"
#include <math.h>
#include <string.h>

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

static sqz_status check_value(const sqz_infer *q)
{
    const sqz_value *v = q->in[1];
    if (v->dtype == (q->in[0]->quant ? SQZ_F32 : q->in[0]->dtype) &&
        (v->shape.rank == 0 || (v->shape.rank == 1 && v->shape.dim[0] == 1)))
        return SQZ_OK;
    char text[160];
    sqz_shape_print(text, &v->shape);
    return sqz_fail(q->ctx, SQZ_E_SHAPE, "the value is %s %s, expected one %s",
                    sqz_dtype_name(v->dtype), text, sqz_dtype_name(q->in[0]->dtype));
}

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape;
    if (at->pads.n != 2 * (uint32_t)x->rank)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "%u pads for an input of rank %d, expected %d",
                        (unsigned)at->pads.n, (int)x->rank, 2 * (int)x->rank);
    if (q->n_in > 1 && q->in[1])
        SQZ_TRY(check_value(q));
    q->out[0] = *x;
    for (int32_t i = 0; i < x->rank; i++) {
        const int64_t b = at->pads.v[i], e = at->pads.v[x->rank + i], n = x->dim[i];
        int64_t lo, hi;
        cut(at, x->rank, i, n, &lo, &hi);
        if (hi < lo || n > INT64_MAX / 2)
            return sqz_fail(q->ctx, SQZ_E_SHAPE,
                            "pads %lld, %lld cut more than the %lld of axis %d", (long long)b,
                            (long long)e, (long long)n, (int)i);
        if (hi == lo && at->mode != CONSTANT && (b > 0 || e > 0))
            return sqz_fail(q->ctx, SQZ_E_SHAPE,
                            "pads %lld, %lld: axis %d has nothing to take elements from",
                            (long long)b, (long long)e, (int)i);
        q->out[0].dim[i] = n + b + e;
    }
    return SQZ_OK;
}

/* Remainder with the sign of n > 0. */
static int64_t modulo(int64_t i, int64_t n) { return (i % n + n) % n; }

/* Input coordinate that stands at i, in or outside of what is left; -1: the fill value. */
static int64_t source(int64_t mode, int64_t i, int64_t lo, int64_t hi)
{
    const int64_t n = hi - lo, turn = SQZ_MAX(2 * (n - 1), 1); /* period of a reflection */
    if (i >= lo && i < hi)
        return i;
    switch (mode) {
    case REFLECT: i = modulo(i - lo, turn); return lo + (i < n ? i : turn - i);
    case EDGE: return i < lo ? lo : hi - 1;
    case WRAP: return lo + modulo(i - lo, n);
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
    const sqz_tensor *v = c->n_in > 1 ? c->in[1] : NULL;
    const double value = v ? sqz_tensor_f64(v, 0) : ((const attrs *)c->attrs)->value;
    _Alignas(8) unsigned char fill[8] = {0};
    sqz_tensor t = {.dtype = c->out[0]->dtype, .count = 1, .data = fill};
    if (grid && grid->dtype == SQZ_S8)
        fill[0] = (unsigned char)sqz_qround((float)value, grid->scale[0], grid->zero[0], -128, 127);
    else if (v)
        memcpy(fill, v->data, v->bytes);
    else
        sqz_tensor_set_f64(&t, 0, value);
    return sqz_maps_run(c, fill);
}

/* Pads of some axes (opset 18) become pads of all. */
static sqz_status spread_pads(sqz_import *im, const sqz_tensor *axes, sqz_ints *pads)
{
    const int32_t rank = sqz_val(im->g, im->in[0])->shape.rank;
    const sqz_ints some = *pads;
    const uint32_t n = (uint32_t)axes->count;
    int64_t *v;
    uint32_t seen = 0;
    if (some.n != 2 * axes->count)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "%u pads for %zu axes", (unsigned)some.n,
                        axes->count);
    SQZ_TRY(sqz_ints_new(&im->g->arena, 2 * (uint32_t)rank, pads, &v));
    for (uint32_t i = 0; i < n; i++) {
        int32_t a = 0;
        SQZ_TRY(sqz_axis(im->g->ctx, sqz_tensor_i64(axes, i), rank, &a));
        if (seen & 1u << a)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "axis %d is listed twice", (int)a);
        seen |= 1u << a;
        v[a] = some.v[i];
        v[rank + a] = some.v[n + i];
    }
    return SQZ_OK;
}

/* The value goes into the attribute where that says the same: not when it is computed from data,
 * and not for 64-bit integers beyond 2^53. */
static bool fits_attribute(const sqz_value *v)
{
    const sqz_tensor *t = v->constant;
    const bool wide = v->dtype == SQZ_S64 || v->dtype == SQZ_U64;
    return t && t->count == 1 && (!wide || fabs(sqz_tensor_f64(t, 0)) < 0x1p53);
}

/* What older files say in attributes only; the schema's spelling of the rest. */
static sqz_status read_attrs(sqz_import *im, const sqz_op *op, attrs *at, sqz_vid *value)
{
    const sqz_raw_attr *paddings = sqz_import_attr(im, "paddings");
    sqz_import part = *im;
    sqz_raw_attr raw[8];
    *value = SQZ_NONE;
    if (im->opset >= 11 && im->n_in > 2 && im->in[2] != SQZ_NONE) {
        SQZ_TRY(sqz_fold_value(im->g, im->in[2]));
        if (!fits_attribute(sqz_val(im->g, im->in[2]))) {
            *value = im->in[2];
            part.n_in = 2;
        }
    }
    if (paddings && im->n_attr <= SQZ_COUNT(raw)) { /* opset 1 */
        memcpy(raw, im->attr, im->n_attr * sizeof *raw);
        raw[paddings - im->attr].name = "pads";
        part.attr = raw;
    }
    return sqz_import_attrs(&part, op, at);
}

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    const sqz_tensor *axes = NULL;
    sqz_vid in[2] = {im->in[0], SQZ_NONE};
    attrs at;
    SQZ_TRY(read_attrs(im, op, &at, &in[1]));
    if (im->n_in > 3)
        SQZ_TRY(sqz_import_const(im, 3, &axes));
    if (axes)
        SQZ_TRY(spread_pads(im, axes, &at.pads));
    return sqz_import_node(im, op, &at, in, in[1] == SQZ_NONE ? 1 : 2);
}

/* The value as an input stands behind the pads. */
static sqz_status write(sqz_export *e)
{
    const sqz_vid value = e->n_in > 1 ? e->in[1].value : SQZ_NONE;
    e->n_in = 1;
    SQZ_TRY(sqz_export_schema(e));
    if (value == SQZ_NONE)
        return SQZ_OK;
    e->in[2].value = value;
    e->in[2].is_const = false;
    e->n_in = 3;
    return SQZ_OK;
}

static sqz_status grad_prepare(sqz_grad_prep *p) { return sqz_maps_grad_prepare(p, prepare); }
static sqz_status grad(const sqz_grad_call *c)
{
    sqz_maps_grad_fill(c, 1);
    return sqz_maps_grad(c);
}

/* New elements of one value may leave; reflected and repeated ones stay, and so does their axis. */
static void ties(sqz_ties *t)
{
    const attrs *at = t->attrs;
    const sqz_shape *x = &t->in[0]->shape, *y = &t->out[0]->shape;
    for (int32_t i = 0; i < x->rank; i++) {
        const int64_t b = at->pads.v[i], e = at->pads.v[x->rank + i], n = x->dim[i];
        const sqz_tie_end from = SQZ_TIE_IN(0, i), to = {.value = -1, .axis = i, .off = b, .n = n};
        const sqz_tie_end before = {.value = -1, .axis = i, .n = b};
        const sqz_tie_end behind = {.value = -1, .axis = i, .off = b + n};
        if (b < 0 || e < 0 || n == 0 || ((b || e) && at->mode != CONSTANT))
            continue;
        t->row(t, &from, &to, 0);
        if (b)
            t->row(t, &before, NULL, 0);
        if (b + n < y->dim[i])
            t->row(t, &behind, NULL, 0);
    }
}

static sqz_status recut(sqz_recut *c)
{
    attrs *at = c->attrs;
    const sqz_ints old = at->pads;
    const int32_t rank = c->in[0]->shape.rank;
    int64_t *v;
    SQZ_TRY(sqz_ints_new(c->arena, old.n, &at->pads, &v));
    for (int32_t i = 0; i < rank; i++) {
        const int64_t b = old.v[i], e = old.v[rank + i];
        const sqz_tie_end before = {.value = -1, .axis = i, .n = b};
        const sqz_tie_end behind = {.value = -1, .axis = i, .off = c->out[0]->shape.dim[i] - e};
        v[i] = b > 0 ? c->kept(c, &before) : b;
        v[rank + i] = e > 0 ? c->kept(c, &behind) : e;
    }
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "pads=0,1,2,0,0,1,0,0", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "pads=0,1,0,2 value=0.5", .n_in = 1, .in = {{2, {3, 5}}}},
    {.attrs = "pads=0,2,2,0,0,1,1,0 mode=reflect", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "pads=0,3,0,-2 mode=edge", .n_in = 1, .in = {{2, {3, 5}}}},
    {.attrs = "pads=0,7,0,9 mode=reflect", .n_in = 1, .in = {{2, {3, 5}}}},
    {.attrs = "pads=0,7,0,9 mode=wrap", .n_in = 1, .in = {{2, {3, 5}}}},
    {.attrs = "pads=0,1,0,2", .n_in = 2, .in = {{2, {3, 5}}, {0}}, .constant = 2},
    {.attrs = "pads=0,1,0,2 value=-3",
     .n_in = 1,
     .in = {{2, {3, 5}}},
     .lo = -8,
     .hi = 7,
     .dtype = {SQZ_S4}},
};

const sqz_op sqz_op_pad = {
    .info = {.name = "pad",
             .doc = "adds elements around a tensor",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 2,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_MOVES,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .prepare = prepare,
    .cost = sqz_move_cost,
    .grad = grad,
    .grad_prepare = grad_prepare,
    .ties = ties,
    .recut = recut,
    .quant = {.kind = SQZ_Q_SAME, .data_inputs = 1},
    .onnx = {.op_type = "Pad", .since = 1, .import = import, .write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
