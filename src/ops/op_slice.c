/* slice: x[start:end:step] along some axes, with NumPy's clamping; steps may be negative. */
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"

typedef struct attrs {
    sqz_ints starts, ends, axes, steps;
} attrs;
#define ROW(field, number, flag, text)                                                             \
    {                                                                                              \
        .name = #field, .offset = offsetof(attrs, field), .type = SQZ_A_INTS, .min = -0x1p63,      \
        .max = 0x1p63, .flags = flag, .slot = number, .since = 10, .doc = text                     \
    }
static const sqz_attr schema[] = {
    ROW(starts, 1, SQZ_AF_REQUIRED, "first index, negative: from the end"),
    ROW(ends, 2, SQZ_AF_REQUIRED, "index to stop before"),
    ROW(axes, 3, SQZ_AF_AXIS, "axes that are cut; empty: the first ones"),
    ROW(steps, 4, 0, "distance of two elements, not 0; empty: 1"),
};

/* First index and number of elements of entry k along a dimension of n. */
static void range(const attrs *at, uint32_t k, int64_t n, int64_t *first, int64_t *step,
                  int64_t *count)
{
    int64_t s = at->steps.n ? at->steps.v[k] : 1, b = at->starts.v[k], e = at->ends.v[k];
    b += b < 0 ? n : 0;
    e += e < 0 ? n : 0;
    if (s > 0) {
        b = SQZ_MIN(SQZ_MAX(b, 0), n);
        e = SQZ_MIN(SQZ_MAX(e, 0), n);
        *count = e > b ? (e - b - 1) / s + 1 : 0;
    } else {
        b = SQZ_MIN(SQZ_MAX(b, 0), n - 1);
        e = SQZ_MIN(SQZ_MAX(e, -1), n - 1);
        *count = b > e ? (int64_t)((uint64_t)(b - e - 1) / (0 - (uint64_t)s)) + 1 : 0;
    }
    *first = b;
    *step = s;
}

static sqz_status axis_of(sqz_ctx *ctx, const attrs *at, uint32_t k, int32_t rank, int32_t *axis)
{
    return sqz_axis(ctx, at->axes.n ? at->axes.v[k] : k, rank, axis);
}

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const uint32_t n = at->starts.n;
    uint32_t mask = 0;
    if (at->ends.n != n || (at->axes.n && at->axes.n != n) || (at->steps.n && at->steps.n != n))
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "%u starts, %u ends, %u axes, %u steps", (unsigned)n,
                        (unsigned)at->ends.n, (unsigned)at->axes.n, (unsigned)at->steps.n);
    SQZ_TRY(sqz_axes_mask(q->ctx, &at->axes, q->in[0]->shape.rank, &mask));
    q->out[0] = q->in[0]->shape;
    for (uint32_t k = 0; k < n; k++) {
        int32_t a = 0;
        int64_t first, step;
        SQZ_TRY(axis_of(q->ctx, at, k, q->in[0]->shape.rank, &a));
        if (at->steps.n && at->steps.v[k] == 0)
            return sqz_fail(q->ctx, SQZ_E_SHAPE, "step of axis %d is 0", (int)a);
        range(at, k, q->in[0]->shape.dim[a], &first, &step, &q->out[0].dim[a]);
    }
    return SQZ_OK;
}

static void map(const void *opts, const sqz_prep *p, int32_t axis, int64_t in, int64_t out,
                int64_t *m)
{
    const attrs *at = opts;
    int64_t first = 0, step = 1, count;
    int32_t a = 0;
    for (uint32_t k = 0; k < at->starts.n; k++)
        if (axis_of(p->ctx, at, k, p->in[0]->shape.rank, &a) == SQZ_OK && a == axis)
            range(at, k, in, &first, &step, &count);
    for (int64_t i = 0; i < out; i++)
        m[i] = first + i * step;
}
static sqz_status prepare(sqz_prep *p) { return sqz_maps_prepare(p, map); }

/* Axes are spelt out, so that the layout pass can renumber them. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    attrs at;
    int64_t *v;
    SQZ_TRY(sqz_import_attrs(im, op, &at));
    if (at.axes.n == 0) {
        SQZ_TRY(sqz_ints_new(&im->g->arena, at.starts.n, &at.axes, &v));
        for (uint32_t k = 0; k < at.starts.n; k++)
            v[k] = k;
    }
    return sqz_import_node(im, op, &at, im->in, 1);
}

static sqz_status grad_prepare(sqz_grad_prep *p) { return sqz_maps_grad_prepare(p, prepare); }

/* An axis that is cut without steps may lose indices; one that is cut with steps stays. */
static void ties(sqz_ties *t)
{
    const attrs *at = t->attrs;
    const sqz_shape *x = &t->in[0]->shape;
    uint32_t cut = 0;
    for (uint32_t k = 0; k < at->starts.n; k++) {
        int64_t first, step, count;
        int32_t a = 0;
        if (axis_of(t->ctx, at, k, x->rank, &a) != SQZ_OK)
            return;
        range(at, k, x->dim[a], &first, &step, &count);
        cut |= 1u << a;
        const sqz_tie_end from = {.value = 0, .axis = a, .off = first, .n = count};
        const sqz_tie_end to = SQZ_TIE_OUT(0, a);
        if (step != 1)
            continue;
        sqz_tie_free(t, SQZ_TIE_IN(0, a));
        if (count)
            t->row(t, &from, &to, 0);
    }
    sqz_ties_axes(t, 0, cut);
}

static sqz_status recut(sqz_recut *c)
{
    attrs *at = c->attrs;
    const attrs old = *at;
    int64_t *starts, *ends;
    SQZ_TRY(sqz_ints_new(c->arena, old.starts.n, &at->starts, &starts));
    SQZ_TRY(sqz_ints_new(c->arena, old.ends.n, &at->ends, &ends));
    for (uint32_t k = 0; k < old.starts.n; k++) {
        int64_t first, step, count;
        int32_t a = 0;
        SQZ_TRY(axis_of(c->ctx, &old, k, c->in[0]->shape.rank, &a));
        range(&old, k, c->in[0]->shape.dim[a], &first, &step, &count);
        const sqz_tie_end before = {.value = 0, .axis = a, .n = first};
        const sqz_tie_end part = {.value = 0, .axis = a, .off = first, .n = count};
        starts[k] = old.starts.v[k];
        ends[k] = old.ends.v[k];
        if (step != 1)
            continue; /* nothing of it has left */
        starts[k] = first ? c->kept(c, &before) : 0;
        ends[k] = starts[k] + (count ? c->kept(c, &part) : 0);
    }
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "starts=1,0 ends=3,2 axes=1,3", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "starts=-1 ends=-100 axes=1 steps=-2", .n_in = 1, .in = {{2, {3, 5}}}},
    {.attrs = "starts=1 ends=1000 axes=0", .n_in = 1, .in = {{1, {6}}}},
};

const sqz_op sqz_op_slice = {
    .info = {.name = "slice",
             .doc = "x[start:end:step] along some axes",
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
    .run = sqz_maps_run_plain,
    .prepare = prepare,
    .cost = sqz_move_cost,
    .grad = sqz_maps_grad,
    .grad_prepare = grad_prepare,
    .ties = ties,
    .recut = recut,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Slice", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
