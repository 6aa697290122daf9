/* tensor_scatter: a cache (B,..,T,..) with an update (B,..,S,..) written from entry index[b] of the
 * axis on; circular: what does not fit goes on at the beginning. Without indices: from 0. */
#include "ops/grad.h"
#include "ops/move.h"
#include <string.h>

typedef struct attrs {
    int64_t axis, mode;
} attrs;
enum { LINEAR, CIRCULAR };
static const sqz_attr schema[] = {
    {.name = "axis",
     .offset = offsetof(attrs, axis),
     .type = SQZ_A_INT,
     .def = -2,
     .min = -SQZ_MAX_RANK,
     .max = SQZ_MAX_RANK - 1,
     .doc = "axis that is written along, not 0"},
    {.name = "mode",
     .offset = offsetof(attrs, mode),
     .type = SQZ_A_ENUM,
     .max = CIRCULAR,
     .names = "linear|circular",
     .doc = "what happens at the end of the axis"},
};

static sqz_status infer(sqz_infer *q)
{
    const sqz_value *x = q->in[0], *u = q->in[1], *k = q->n_in > 2 ? q->in[2] : NULL;
    int32_t axis;
    SQZ_TRY(sqz_axis(q->ctx, ((const attrs *)q->attrs)->axis, x->shape.rank, &axis));
    if (axis == 0)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "axis 0 is the batch, expected another");
    if (k)
        SQZ_TRY(sqz_need_index(q, 2));
    if (k && (k->shape.rank != 1 || k->shape.dim[0] != x->shape.dim[0]))
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "expected one index for each of %lld batch entries",
                        (long long)x->shape.dim[0]);
    bool fits = x->shape.rank == u->shape.rank && (x->quant || u->quant || x->dtype == u->dtype);
    for (int32_t i = 0; fits && i < x->shape.rank; i++)
        fits = i == axis ? u->shape.dim[i] <= x->shape.dim[i] : u->shape.dim[i] == x->shape.dim[i];
    q->out[0] = x->shape;
    if (fits)
        return SQZ_OK;
    char a[160], b[160];
    sqz_shape_print(a, &u->shape);
    sqz_shape_print(b, &x->shape);
    return sqz_fail(q->ctx, SQZ_E_SHAPE, "an update of %s %s does not fit a cache of %s %s",
                    sqz_dtype_name(u->dtype), a, sqz_dtype_name(x->dtype), b);
}

/* Where the update of batch entry b begins. */
static sqz_status first_of(const sqz_call *c, int64_t n, int64_t length, bool circular, size_t b,
                           size_t *out)
{
    const sqz_tensor *k = c->n_in > 2 ? c->in[2] : NULL;
    const int64_t at = k ? sqz_tensor_i64(k, b) : 0, last = circular ? n - 1 : n - length;
    *out = (size_t)at;
    if (length == 0 || (at >= 0 && at <= last))
        return SQZ_OK;
    return sqz_fail(c->ctx, SQZ_E_ARG, "index %lld of batch entry %zu, expected 0 .. %lld",
                    (long long)at, b, (long long)last);
}

static sqz_status scatter(const sqz_call *c, const void *arg)
{
    const attrs *at = arg;
    const sqz_tensor *x = c->in[0], *u = c->in[1];
    unsigned char *y = c->out[0]->data;
    int32_t axis;
    SQZ_TRY(sqz_axis(c->ctx, at->axis, x->shape.rank, &axis));
    const sqz_split3 s = sqz_split_at(&x->shape, axis);
    const size_t length = (size_t)u->shape.dim[axis], bytes = s.inner * sqz_elem(x);
    const size_t batch = (size_t)x->shape.dim[0], each = batch ? s.outer / batch : 0;
    if (y != x->data && c->out[0]->bytes)
        memcpy(y, x->data, c->out[0]->bytes);
    for (size_t b = 0; b < batch; b++) {
        size_t first;
        SQZ_TRY(first_of(c, (int64_t)s.n, (int64_t)length, at->mode == CIRCULAR, b, &first));
        for (size_t i = 0; bytes && i < each * length; i++) {
            const size_t outer = b * each + i / length, to = (first + i % length) % s.n;
            memcpy(y + (outer * s.n + to) * bytes,
                   (const unsigned char *)u->data + (outer * length + i % length) * bytes, bytes);
        }
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c) { return sqz_move_run(c, scatter, c->attrs); }

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    return sqz_moves_grad_prepare(p, run, sqz_move_prepare, 3);
}

static const sqz_case cases[] = {
    {.attrs = "",
     .n_in = 3,
     .in = {{4, {2, 3, 4, 2}}, {4, {2, 3, 2, 2}}, {1, {2}}},
     .constant = 4,
     .lo = 0,
     .hi = 2,
     .dtype = {SQZ_F32, SQZ_F32, SQZ_S64}},
    {.attrs = "axis=1 mode=circular",
     .n_in = 3,
     .in = {{2, {3, 4}}, {2, {3, 3}}, {1, {3}}},
     .hi = 3,
     .dtype = {SQZ_F32, SQZ_F32, SQZ_S64}},
    {.attrs = "axis=-1", .n_in = 2, .in = {{2, {3, 4}}, {2, {3, 3}}}},
    {.attrs = "axis=-1",
     .n_in = 2,
     .in = {{2, {3, 3}}, {2, {3, 1}}},
     .hi = 7,
     .dtype = {SQZ_U4, SQZ_U4}},
};

const sqz_op sqz_op_tensor_scatter = {
    .info = {.name = "tensor_scatter",
             .doc = "writes an update into a cache",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 2,
    .n_in_max = 3,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_MOVES | SQZ_T_IN_PLACE,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = run,
    .prepare = sqz_move_prepare,
    .cost = sqz_move_cost,
    .grad = sqz_moves_grad,
    .grad_prepare = grad_prepare,
    .quant = {.kind = SQZ_Q_SAME, .data_inputs = 3},
    .onnx = {.op_type = "TensorScatter", .since = 24},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
