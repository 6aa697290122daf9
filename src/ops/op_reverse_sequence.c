/* reverse_sequence: along the time axis, the first lens[i] entries of sequence i of the batch axis
 * are turned around; the others stay. */
#include "ops/grad.h"
#include "ops/move.h"
#include <string.h>

typedef struct attrs {
    int64_t batch_axis, time_axis;
} attrs;
static const sqz_attr schema[] = {
    {.name = "batch_axis",
     .offset = offsetof(attrs, batch_axis),
     .type = SQZ_A_INT,
     .def = 1,
     .max = SQZ_MAX_RANK - 1,
     .flags = SQZ_AF_AXIS,
     .doc = "axis of the sequences"},
    {.name = "time_axis",
     .offset = offsetof(attrs, time_axis),
     .type = SQZ_A_INT,
     .max = SQZ_MAX_RANK - 1,
     .flags = SQZ_AF_AXIS,
     .doc = "axis that is turned around"},
};

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape, *lens = &q->in[1]->shape;
    int32_t batch, time;
    SQZ_TRY(sqz_axis(q->ctx, at->batch_axis, x->rank, &batch));
    SQZ_TRY(sqz_axis(q->ctx, at->time_axis, x->rank, &time));
    SQZ_TRY(sqz_need_index(q, 1));
    if (batch == time)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "batch_axis and time_axis are both %d", (int)time);
    if (lens->rank != 1 || lens->dim[0] != x->dim[batch])
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "expected one length for each of %lld sequences",
                        (long long)x->dim[batch]);
    q->out[0] = *x;
    return SQZ_OK;
}

/* Axes in the order of the tensor: outer, first, middle, second, inner. */
static sqz_status turn(const sqz_call *c, const void *arg)
{
    const attrs *at = arg;
    const sqz_shape *shape = &c->in[0]->shape;
    const sqz_tensor *lens = c->in[1];
    const bool time_first = at->time_axis < at->batch_axis;
    const sqz_split3 a = sqz_split_at(shape, (int32_t)SQZ_MIN(at->time_axis, at->batch_axis));
    const sqz_split3 b = sqz_split_at(shape, (int32_t)SQZ_MAX(at->time_axis, at->batch_axis));
    const size_t middle = a.inner && b.inner ? a.inner / (b.n * b.inner) : 0;
    const size_t bytes = b.inner * sqz_elem(c->in[0]);
    const unsigned char *x = c->in[0]->data;
    unsigned char *y = c->out[0]->data;
    for (size_t i = 0; i < lens->count; i++)
        if (sqz_tensor_i64(lens, i) < 0 || sqz_tensor_i64(lens, i) > shape->dim[at->time_axis])
            return sqz_fail(c->ctx, SQZ_E_ARG, "length %lld of sequence %zu, expected 0 .. %lld",
                            (long long)sqz_tensor_i64(lens, i), i,
                            (long long)shape->dim[at->time_axis]);
    for (size_t o = 0; bytes && c->out[0]->count && o < a.outer * a.n * middle * b.n; o++) {
        const size_t second = o % b.n, m = o / b.n % middle, first = o / b.n / middle % a.n;
        const size_t t = time_first ? first : second;
        const size_t len = sqz_index(lens, time_first ? second : first, 0);
        const size_t from = t < len ? len - 1 - t : t, outer = o / b.n / middle / a.n;
        const size_t k = time_first ? ((outer * a.n + from) * middle + m) * b.n + second
                                    : ((outer * a.n + first) * middle + m) * b.n + from;
        memcpy(y + o * bytes, x + k * bytes, bytes);
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c) { return sqz_move_run(c, turn, c->attrs); }

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    return sqz_moves_grad_prepare(p, run, sqz_move_prepare, 1);
}

static const sqz_case cases[] = {
    {.attrs = "",
     .n_in = 2,
     .in = {{2, {4, 3}}, {1, {3}}},
     .constant = 2,
     .hi = 4,
     .dtype = {SQZ_F32, SQZ_S64}},
    {.attrs = "batch_axis=0 time_axis=2",
     .n_in = 2,
     .in = {{4, {3, 2, 4, 2}}, {1, {3}}},
     .hi = 4,
     .dtype = {SQZ_F32, SQZ_S64}},
};

const sqz_op sqz_op_reverse_sequence = {
    .info = {.name = "reverse_sequence",
             .doc = "turns the beginnings of sequences around",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 2,
    .n_in_max = 2,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_MOVES,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .prepare = sqz_move_prepare,
    .cost = sqz_move_cost,
    .grad = sqz_moves_grad,
    .grad_prepare = grad_prepare,
    .quant = {.kind = SQZ_Q_SAME, .data_inputs = 1},
    .onnx = {.op_type = "ReverseSequence", .since = 10},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
