/* max_unpool: elements put back where a max_pool found them, zeros elsewhere: x (N,C,...), indices
 * of the same shape -> (N,C,*size). Indices count in a tensor whose spatial axes are `stride`s
 * long, stride * (n - 1) + kernel - pads; a wanted size beyond that is filled up with zeros. */
#include "ops/ew.h"
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/window.h"
#include <string.h>

typedef struct attrs {
    sqz_window_attrs window;
    sqz_ints kernel, size;
} attrs;
static const sqz_attr schema[] = {
    SQZ_WINDOW_ROWS(attrs, window),
    {.name = "kernel_shape",
     .offset = offsetof(attrs, kernel),
     .type = SQZ_A_INTS,
     .min = 1,
     .max = INT32_MAX,
     .flags = SQZ_AF_REQUIRED,
     .doc = "size of the window along each spatial axis"},
    {.name = "size",
     .offset = offsetof(attrs, size),
     .type = SQZ_A_INTS,
     .min = 1,
     .max = INT32_MAX,
     .flags = SQZ_AF_INTERNAL,
     .doc = "spatial size of the output, where it is another one"},
};

/* The shape in which the indices count. */
static sqz_status indexed(sqz_ctx *ctx, const attrs *at, const sqz_shape *x, sqz_shape *out)
{
    static const sqz_ints none;
    int32_t n;
    sqz_window w;
    SQZ_TRY(sqz_window_rank(ctx, x, &n));
    if (at->kernel.n != (uint32_t)n)
        return sqz_fail(ctx, SQZ_E_SHAPE, "kernel_shape has %u entries, expected %d",
                        (unsigned)at->kernel.n, (int)n);
    SQZ_TRY(sqz_window_make_transposed(ctx, n, x->dim + 2, at->kernel.v, &at->window, &none, &w));
    *out = *x;
    for (int32_t i = 0; i < n; i++)
        out->dim[2 + i] = w.out[SQZ_WINDOW_AXES - n + i];
    return SQZ_OK;
}

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape;
    SQZ_TRY(sqz_need_bytes(q, 0));
    SQZ_TRY(sqz_need_index(q, 1));
    if (!sqz_shape_eq(x, &q->in[1]->shape))
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "the indices have another shape than the input");
    SQZ_TRY(indexed(q->ctx, at, x, &q->out[0]));
    if (at->size.n && at->size.n != (uint32_t)x->rank - 2)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "a size of %u axes, expected %d", (unsigned)at->size.n,
                        (int)x->rank - 2);
    for (uint32_t i = 0; i < at->size.n; i++) {
        if (at->size.v[i] < q->out[0].dim[2 + i])
            return sqz_fail(q->ctx, SQZ_E_SHAPE,
                            "a size of %lld along spatial axis %u, expected %lld or more",
                            (long long)at->size.v[i], (unsigned)i, (long long)q->out[0].dim[2 + i]);
        q->out[0].dim[2 + i] = at->size.v[i];
    }
    return SQZ_OK;
}

/* In order: where two elements go to one place, the later one stays. */
static sqz_status run(const sqz_call *c)
{
    const sqz_shape *y = &c->out[0]->shape;
    const size_t elem = sqz_elem(c->in[0]);
    sqz_shape s;
    size_t count;
    SQZ_TRY(indexed(c->ctx, c->attrs, &c->in[0]->shape, &s));
    SQZ_TRY(sqz_shape_count(c->ctx, &s, SQZ_U8, &count, NULL));
    if (c->out[0]->bytes)
        memset(c->out[0]->data, 0, c->out[0]->bytes);
    for (size_t i = 0; i < c->in[0]->count; i++) {
        const int64_t index = sqz_tensor_i64(c->in[1], i);
        size_t rest = (size_t)index, at = 0, step = 1;
        if (index < 0 || (size_t)index >= count)
            return sqz_fail(c->ctx, SQZ_E_ARG, "index %lld is outside of %zu elements",
                            (long long)index, count);
        for (int32_t a = s.rank - 1; a >= 0; a--) {
            at += rest % (size_t)s.dim[a] * step;
            rest /= (size_t)s.dim[a];
            step *= (size_t)y->dim[a];
        }
        memcpy((char *)c->out[0]->data + at * elem, (const char *)c->in[0]->data + i * elem, elem);
    }
    return SQZ_OK;
}

/* ---- ONNX: the wanted shape, with batch and channels, is input 2 ---- */

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    const sqz_raw_attr *k = sqz_import_attr(im, "kernel_shape");
    const int32_t rank = sqz_val(im->g, im->in[0])->shape.rank;
    const sqz_tensor *t = NULL;
    attrs at = {0};
    if (!k || !k->ints.n)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "attribute 'kernel_shape' is missing");
    at.kernel = k->ints;
    SQZ_TRY(sqz_window_import(im, (int32_t)k->ints.n, k->ints.v, &at.window));
    at.window.dilations.n = 0; /* there are none */
    SQZ_TRY(sqz_import_const(im, 2, &t));
    if (t && t->count != (size_t)rank)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "output_shape has %zu entries, expected %d",
                        t->count, (int)rank);
    if (t) {
        int64_t *v;
        SQZ_TRY(sqz_ints_of_tensor(&im->g->arena, t, &at.size, &v));
        at.size = (sqz_ints){(uint32_t)rank - 2, v + 2};
    }
    return sqz_import_node(im, op, &at, im->in, 2);
}

static sqz_status write(sqz_export *e)
{
    const attrs *at = e->attrs;
    const sqz_value *x = sqz_val(e->g, e->node->in[0]);
    int64_t *v;
    SQZ_TRY(sqz_export_schema(e));
    if (!at->size.n)
        return SQZ_OK;
    SQZ_TRY(sqz_ints_new(e->arena, at->size.n + 2, &e->in[2].ints, &v));
    for (uint32_t i = 0; i < at->size.n + 2; i++)
        v[i] = i < 2 ? x->shape.dim[i] : at->size.v[i - 2];
    e->in[2].value = SQZ_NONE;
    e->in[2].is_const = true;
    e->n_in = 3;
    return SQZ_OK;
}

static sqz_status grad_prepare(sqz_grad_prep *p) { return sqz_moves_grad_prepare(p, run, NULL, 1); }

static const sqz_case cases[] = {
    {.attrs = "kernel_shape=2,2 strides=2,2",
     .n_in = 2,
     .in = {{4, {1, 2, 3, 3}}, {4, {1, 2, 3, 3}}},
     .dtype = {SQZ_F32, SQZ_S64},
     .lo = 0,
     .hi = 35},
    {.attrs = "kernel_shape=2 strides=2 size=9",
     .n_in = 2,
     .in = {{3, {1, 2, 4}}, {3, {1, 2, 4}}},
     .dtype = {SQZ_S8, SQZ_S64},
     .lo = 0,
     .hi = 15},
};

const sqz_op sqz_op_max_unpool = {
    .info = {.name = "max_unpool",
             .doc = "elements put back where a maximum was found",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 2,
    .n_in_max = 2,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_TYPES,
    .infer = infer,
    .run = run,
    .cost = sqz_move_cost,
    .grad = sqz_moves_grad,
    .grad_prepare = grad_prepare,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "MaxUnpool", .since = 9, .import = import, .write = write},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
