/* concat: inputs one after another along an axis. */
#include "ops/build.h"
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"
#include <string.h>

typedef struct attrs {
    int64_t axis;
} attrs;
static const sqz_attr schema[] = {{.name = "axis",
                                   .offset = offsetof(attrs, axis),
                                   .type = SQZ_A_INT,
                                   .def = 1,
                                   .min = -SQZ_MAX_RANK,
                                   .max = SQZ_MAX_RANK - 1,
                                   .flags = SQZ_AF_REQUIRED | SQZ_AF_AXIS,
                                   .doc = "axis that grows"}};

static sqz_status infer(sqz_infer *q)
{
    int32_t axis;
    sqz_shape *y = &q->out[0];
    *y = q->in[0]->shape;
    SQZ_TRY(sqz_axis(q->ctx, ((const attrs *)q->attrs)->axis, y->rank, &axis));
    for (unsigned i = 1; i < q->n_in; i++) {
        const sqz_value *x = q->in[i];
        if (!x)
            return sqz_fail(q->ctx, SQZ_E_FORMAT, "input %u is missing", i);
        bool fits = x->shape.rank == y->rank && x->dtype == q->in[0]->dtype;
        for (int32_t d = 0; fits && d < y->rank; d++)
            fits = d == axis || x->shape.dim[d] == y->dim[d];
        if (!fits || __builtin_add_overflow(y->dim[axis], x->shape.dim[axis], &y->dim[axis])) {
            char a[160], b[160];
            sqz_shape_print(a, &q->in[0]->shape);
            sqz_shape_print(b, &x->shape);
            return sqz_fail(q->ctx, SQZ_E_SHAPE, "input %u is %s %s, input 0 is %s %s (axis %d)", i,
                            sqz_dtype_name(x->dtype), b, sqz_dtype_name(q->in[0]->dtype), a,
                            (int)axis);
        }
    }
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
    unsigned char *to = (unsigned char *)j->c->out[0]->data + begin * j->row_bytes;
    for (unsigned i = 0; i < j->c->n_in; i++) {
        const sqz_split3 s = sqz_split_at(&j->c->in[i]->shape, j->axis);
        const size_t n = s.n * s.inner * j->elem;
        const unsigned char *x = j->c->in[i]->data;
        if (n)
            sqz_copy_rows(to, j->row_bytes, x + begin * n, n, n, end - begin);
        to += n;
    }
    return SQZ_OK;
}

static sqz_status join(const sqz_call *c, const void *arg)
{
    (void)arg;
    job j = {.c = c, .elem = sqz_elem(c->out[0])};
    if (c->out[0]->count == 0)
        return SQZ_OK;
    SQZ_TRY(sqz_axis(c->ctx, ((const attrs *)c->attrs)->axis, c->out[0]->shape.rank, &j.axis));
    sqz_split3 s = sqz_split_at(&c->out[0]->shape, j.axis);
    j.row_bytes = s.n * s.inner * j.elem;
    return sqz_parallel(c->ctx, s.outer, SQZ_MOVE_PIECE / SQZ_MIN(j.row_bytes, SQZ_MOVE_PIECE),
                        piece, &j);
}
static sqz_status run(const sqz_call *c) { return sqz_move_run(c, join, NULL); }

/* More inputs than a node may have are joined in groups, then the groups. */
#define GROUP 64u
static sqz_status import_many(sqz_import *im, int64_t axis, sqz_vid *list, unsigned n)
{
    sqz_build b = {.im = im};
    while (n > GROUP) {
        unsigned k = 0;
        for (unsigned i = 0; i < n; i += GROUP)
            list[k++] = sqz_bf(&b, "concat", list + i, SQZ_MIN(GROUP, n - i), "axis=%lld",
                               (long long)axis);
        n = k;
    }
    return sqz_b_end(&b, 1, sqz_bf(&b, "concat", list, n, "axis=%lld", (long long)axis));
}

/* Opset 1 joins channels where the file names no axis. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    attrs at = {.axis = 1};
    if (im->opset >= 4 || sqz_import_attr(im, "axis"))
        SQZ_TRY(sqz_import_attrs(im, op, &at));
    if (im->n_in <= GROUP)
        return sqz_import_node(im, op, &at, im->in, im->n_in);
    sqz_arena temp = {.ctx = im->g->ctx};
    sqz_vid *list = sqz_arena_alloc(&temp, im->n_in, sizeof *list);
    sqz_status s = SQZ_E_NOMEM;
    if (list) {
        memcpy(list, im->in, im->n_in * sizeof *list);
        s = import_many(im, at.axis, list, im->n_in);
    }
    sqz_arena_free(&temp);
    return s;
}

/* Each input gets its part of the rows. */
static sqz_status grad(const sqz_grad_call *c)
{
    int32_t axis;
    SQZ_TRY(sqz_axis(c->ctx, ((const attrs *)c->attrs)->axis, c->out[0]->shape.rank, &axis));
    const sqz_split3 y = sqz_split_at(&c->out[0]->shape, axis);
    size_t at = 0;
    if (sqz_grad_none(c))
        return SQZ_OK;
    for (unsigned k = 0; k < c->n_in; k++) {
        const size_t row = sqz_split_at(&c->in[k]->shape, axis).n * y.inner;
        if (sqz_grad_wants(c, k))
            sqz_grad_rows(c->in_grad[k], row, c->out_grad[0] + at, y.n * y.inner, row, y.outer,
                          sqz_grad_adds(c, k));
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
    for (unsigned k = 0; k < t->n_in; k++) {
        const sqz_shape *x = &t->in[k]->shape;
        for (int32_t i = 0; i < x->rank; i++) {
            const sqz_tie_end from = SQZ_TIE_IN(k, i);
            sqz_tie_end to = SQZ_TIE_OUT(0, i);
            if (i == axis)
                to = (sqz_tie_end){.value = -1, .axis = i, .off = at, .n = x->dim[i]};
            if (x->dim[i])
                t->row(t, &from, &to, 0);
        }
        at += x->dim[axis];
    }
}

static const sqz_case cases[] = {
    {.attrs = "axis=3", .n_in = 2, .in = {{4, {2, 3, 3, 4}}, {4, {2, 3, 3, 2}}}},
    {.attrs = "axis=-2", .n_in = 3, .in = {{3, {2, 1, 4}}, {3, {2, 2, 4}}, {3, {2, 3, 4}}}},
    {.attrs = "axis=1", .n_in = 1, .in = {{2, {3, 5}}}},
    {.attrs = "axis=0",
     .n_in = 2,
     .in = {{1, {2}}, {1, {3}}},
     .lo = -9,
     .hi = 9,
     .dtype = {SQZ_S64, SQZ_S64}},
    {.attrs = "axis=1",
     .n_in = 2,
     .in = {{2, {3, 3}}, {2, {3, 2}}},
     .hi = 15,
     .dtype = {SQZ_U4, SQZ_U4}},
};

const sqz_op sqz_op_concat = {
    .info = {.name = "concat",
             .doc = "inputs one after another along an axis",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 255,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_MOVES,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .prepare = sqz_move_prepare,
    .cost = sqz_move_cost,
    .grad = grad,
    .ties = ties,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Concat", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
