/* one_hot: a new axis of length depth: values[1] at the index, values[0] elsewhere. Negative
 * indices count from the end; those outside of -depth .. depth-1 give values[0] everywhere. */
#include "ops/grad.h"
#include "ops/move.h"
#include <math.h>
#include <string.h>

typedef struct attrs {
    int64_t axis, depth;
} attrs;
static const sqz_attr schema[] = {
    {.name = "axis",
     .offset = offsetof(attrs, axis),
     .type = SQZ_A_INT,
     .def = -1,
     .min = -SQZ_MAX_RANK,
     .max = SQZ_MAX_RANK - 1,
     .doc = "place of the new axis in the output"},
    {.name = "depth",
     .offset = offsetof(attrs, depth),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 1,
     .max = INT32_MAX,
     .flags = SQZ_AF_REQUIRED,
     .slot = 1,
     .since = 9,
     .doc = "length of the new axis"},
};

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape, *values = &q->in[1]->shape;
    int32_t axis;
    if (x->rank == SQZ_MAX_RANK)
        return sqz_fail(q->ctx, SQZ_E_LIMIT, "an output of rank %d, at most %d are supported",
                        SQZ_MAX_RANK + 1, SQZ_MAX_RANK);
    SQZ_TRY(sqz_axis(q->ctx, at->axis, x->rank + 1, &axis));
    if (values->rank != 1 || values->dim[0] != 2)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "values are no list of two (off, on)");
    q->out[0].rank = x->rank + 1;
    for (int32_t i = 0; i <= x->rank; i++)
        q->out[0].dim[i] = i == axis ? at->depth : x->dim[i < axis ? i : i - 1];
    q->out_dtype[0] = q->in[1]->dtype;
    return SQZ_OK;
}

/* Indices may be of any type of numbers; what follows the decimal point does not count. depth: none
 * of the new axis. */
static size_t place(const sqz_tensor *x, size_t i, int64_t depth)
{
    const double v = sqz_dtype_is_float(x->dtype) ? trunc(sqz_tensor_f64(x, i)) : 0;
    int64_t k = sqz_dtype_is_float(x->dtype)
                    ? (fabs(v) <= (double)depth ? (int64_t)v : depth) /* NaN: depth */
                    : sqz_tensor_i64(x, i);
    k += k < 0 && k >= -depth ? depth : 0;
    return (size_t)(k < 0 || k > depth ? depth : k);
}

static sqz_status spread(const sqz_call *c, const void *arg)
{
    const attrs *at = arg;
    const sqz_tensor *x = c->in[0];
    const size_t elem = sqz_elem(c->out[0]);
    const unsigned char *off = c->in[1]->data, *on = off + elem;
    unsigned char *y = c->out[0]->data;
    int32_t axis;
    SQZ_TRY(sqz_axis(c->ctx, at->axis, c->out[0]->shape.rank, &axis));
    const sqz_split3 s = sqz_split_at(&c->out[0]->shape, axis);
    for (size_t i = 0; i < c->out[0]->count; i++)
        memcpy(y + i * elem, off, elem);
    for (size_t i = 0; i < x->count; i++) {
        const size_t k = place(x, i, at->depth);
        if (k < s.n)
            memcpy(y + ((i / s.inner * s.n + k) * s.inner + i % s.inner) * elem, on, elem);
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c) { return sqz_move_run(c, spread, c->attrs); }

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    return sqz_moves_grad_prepare(p, run, sqz_move_prepare, 2);
}

static const sqz_case cases[] = {
    {.attrs = "depth=5",
     .n_in = 2,
     .in = {{2, {3, 4}}, {1, {2}}},
     .lo = -6,
     .hi = 6,
     .dtype = {SQZ_S64, SQZ_F32}},
    {.attrs = "depth=3 axis=0",
     .n_in = 2,
     .in = {{2, {3, 4}}, {1, {2}}},
     .lo = -4,
     .hi = 4,
     .dtype = {SQZ_F32, SQZ_S32}},
    {.attrs = "depth=3 axis=-2",
     .n_in = 2,
     .in = {{2, {3, 3}}, {1, {2}}},
     .hi = 7,
     .constant = 2,
     .dtype = {SQZ_U8, SQZ_U4}},
};

const sqz_op sqz_op_one_hot = {
    .info = {.name = "one_hot",
             .doc = "indices as rows with one mark",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 2,
    .n_in_max = 2,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_TYPES,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = run,
    .prepare = sqz_move_prepare,
    .cost = sqz_move_cost,
    .grad = sqz_moves_grad,
    .grad_prepare = grad_prepare,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "OneHot", .since = 9},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
