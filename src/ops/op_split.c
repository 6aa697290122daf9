/* split: cuts a tensor along an axis into its outputs. Without lengths they are equal, but the last
 * ones, which get what is left. */
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"
#include <string.h>

typedef struct attrs {
    int64_t axis;
    sqz_ints split;
} attrs;
static const sqz_attr schema[] = {
    {.name = "axis",
     .offset = offsetof(attrs, axis),
     .type = SQZ_A_INT,
     .min = -SQZ_MAX_RANK,
     .max = SQZ_MAX_RANK - 1,
     .flags = SQZ_AF_AXIS,
     .doc = "axis that is cut"},
    {.name = "split",
     .offset = offsetof(attrs, split),
     .type = SQZ_A_INTS,
     .min = 0,
     .max = INT32_MAX,
     .slot = 1,
     .since = 13,
     .doc = "length of each output; empty: equal, the last one may be shorter"},
};

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape;
    int32_t axis;
    int64_t sum = 0;
    SQZ_TRY(sqz_axis(q->ctx, at->axis, x->rank, &axis));
    const int64_t n = x->dim[axis], equal = n / q->n_out + (n % q->n_out != 0);
    if (at->split.n && at->split.n != q->n_out)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "split lists %u lengths for %u outputs",
                        (unsigned)at->split.n, q->n_out);
    for (unsigned i = 0; i < q->n_out; i++) {
        int64_t len = at->split.n ? at->split.v[i] : SQZ_MIN(equal, n - sum);
        if (len < 0 || len > n - sum)
            return sqz_fail(q->ctx, SQZ_E_SHAPE, "output %u of length %lld, %lld of %lld are left",
                            i, (long long)len, (long long)(n - sum), (long long)n);
        sum += len;
        q->out[i] = *x;
        q->out[i].dim[axis] = len;
        q->out_dtype[i] = q->in[0]->dtype;
    }
    if (sum != n)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "split sums to %lld, the axis has %lld",
                        (long long)sum, (long long)n);
    return SQZ_OK;
}

typedef struct job {
    const sqz_call *c;
    int32_t axis;
    size_t elem, row_bytes;
} job;

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const unsigned char *from = (const unsigned char *)j->c->in[0]->data + begin * j->row_bytes;
    for (unsigned i = 0; i < j->c->n_out; i++) {
        const sqz_split3 s = sqz_split_at(&j->c->out[i]->shape, j->axis);
        const size_t n = s.n * s.inner * j->elem;
        unsigned char *y = j->c->out[i]->data;
        if (n)
            sqz_copy_rows(y + begin * n, n, from, j->row_bytes, n, end - begin);
        from += n;
    }
    return SQZ_OK;
}

static sqz_status cut(const sqz_call *c, const void *arg)
{
    (void)arg;
    job j = {.c = c, .elem = sqz_elem(c->in[0])};
    if (c->in[0]->count == 0)
        return SQZ_OK;
    SQZ_TRY(sqz_axis(c->ctx, ((const attrs *)c->attrs)->axis, c->in[0]->shape.rank, &j.axis));
    sqz_split3 s = sqz_split_at(&c->in[0]->shape, j.axis);
    j.row_bytes = s.n * s.inner * j.elem;
    return sqz_parallel(c->ctx, s.outer, SQZ_MOVE_PIECE / SQZ_MIN(j.row_bytes, SQZ_MOVE_PIECE),
                        piece, &j);
}

static sqz_status run(const sqz_call *c) { return sqz_move_run(c, cut, NULL); }

/* Opset 1 lets the lengths be an attribute or an input. */
static sqz_status lengths_of_opset_1(sqz_import *im, attrs *at)
{
    const sqz_tensor *t = NULL;
    int64_t *v;
    SQZ_TRY(sqz_import_const(im, 1, &t));
    return t ? sqz_ints_of_tensor(&im->g->arena, t, &at->split, &v) : SQZ_OK;
}

/* Every output counts, also those that nobody reads: without lengths their number is the rule.
 * num_outputs (opset 18) only repeats it. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    const unsigned n = SQZ_MAX(im->n_listed, im->n_out);
    const int64_t said = sqz_import_int(im, "num_outputs", n);
    const char *name[UINT8_MAX] = {NULL};
    sqz_vid out[UINT8_MAX];
    attrs at;
    if (said != (int64_t)n)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "num_outputs is %lld for %u outputs",
                        (long long)said, n);
    if (n > op->n_out_max)
        return sqz_fail(im->g->ctx, SQZ_E_LIMIT, "%u outputs, at most %d are supported", n,
                        op->n_out_max);
    SQZ_TRY(sqz_import_attrs(im, op, &at));
    if (im->opset == 1)
        SQZ_TRY(lengths_of_opset_1(im, &at));
    for (unsigned i = 0; i < im->n_out; i++)
        name[i] = im->out_name[i];
    SQZ_TRY(sqz_graph_node(im->g, op, im->name, &at, im->in, 1, name, n, SQZ_NONE, out));
    for (unsigned i = 0; i < im->n_out; i++)
        im->out[i] = out[i];
    return SQZ_OK;
}

static sqz_status write(sqz_export *e)
{
    const attrs *at = e->attrs;
    attrs full = *at;
    const sqz_node *n = e->node;
    if (at->split.n == 0 && e->opset < 18) { /* unequal parts must be spelt out */
        int64_t *v;
        int32_t axis;
        const sqz_shape *x = &sqz_val(e->g, n->in[0])->shape;
        SQZ_TRY(sqz_axis(e->ctx, ((const attrs *)n->attrs)->axis, x->rank, &axis));
        SQZ_TRY(sqz_ints_new(e->arena, n->n_out, &full.split, &v));
        for (unsigned i = 0; i < n->n_out; i++)
            v[i] = sqz_val(e->g, n->out[i])->shape.dim[axis];
        e->attrs = &full;
    }
    sqz_status s = sqz_export_schema(e);
    e->attrs = at;
    if (s == SQZ_OK && at->split.n == 0 && e->opset >= 18)
        e->attr[e->n_attr++] = (sqz_export_attr){.name = "num_outputs", .type = 2, .i = n->n_out};
    return s;
}

/* The outputs' gradients one behind the other. */
static sqz_status grad(const sqz_grad_call *c)
{
    int32_t axis;
    SQZ_TRY(sqz_axis(c->ctx, ((const attrs *)c->attrs)->axis, c->in[0]->shape.rank, &axis));
    const sqz_split3 x = sqz_split_at(&c->in[0]->shape, axis);
    size_t at = 0;
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c))
        return SQZ_OK;
    sqz_grad_begin(c, 0);
    for (unsigned k = 0; k < c->n_out; k++) {
        const size_t row = sqz_split_at(&c->out[k]->shape, axis).n * x.inner;
        if (c->out_grad[k])
            sqz_grad_rows(c->in_grad[0] + at, x.n * x.inner, c->out_grad[k], row, row, x.outer,
                          true);
        at += row;
    }
    return SQZ_OK;
}

static void ties(sqz_ties *t)
{
    int64_t at = 0;
    int32_t axis = 0;
    if (sqz_axis(t->ctx, ((const attrs *)t->attrs)->axis, t->in[0]->shape.rank, &axis) != SQZ_OK)
        return;
    for (unsigned k = 0; k < t->n_out; k++) {
        const int64_t n = t->out[k]->shape.dim[axis];
        const sqz_tie_end from = {.value = 0, .axis = axis, .off = at, .n = n};
        const sqz_tie_end to = SQZ_TIE_OUT(k, axis);
        if (n)
            t->row(t, &from, &to, 0);
        sqz_ties_axes(t, k, 1u << axis);
        at += n;
    }
}

/* Lengths become explicit: equal ones need not stay equal. */
static sqz_status recut(sqz_recut *c)
{
    attrs *at = c->attrs;
    int64_t *v;
    int32_t axis;
    SQZ_TRY(sqz_axis(c->ctx, at->axis, c->in[0]->shape.rank, &axis));
    SQZ_TRY(sqz_ints_new(c->arena, c->n_out, &at->split, &v));
    for (unsigned k = 0; k < c->n_out; k++) {
        const sqz_tie_end part = SQZ_TIE_OUT(k, axis);
        v[k] = c->kept(c, &part);
    }
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "axis=3 split=1,3", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "axis=-1 split=2,2,1", .n_in = 1, .in = {{2, {3, 5}}}},
    {.attrs = "axis=0", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "axis=1 split=1,4",
     .n_in = 1,
     .in = {{2, {3, 5}}},
     .lo = -8,
     .hi = 7,
     .dtype = {SQZ_S4}},
};

const sqz_op sqz_op_split = {
    .info = {.name = "split",
             .doc = "cuts a tensor along an axis",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 255,
    .traits = SQZ_T_MOVES,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .prepare = sqz_move_prepare,
    .cost = sqz_move_cost,
    .grad = grad,
    .ties = ties,
    .recut = recut,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Split", .since = 1, .import = import, .write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
