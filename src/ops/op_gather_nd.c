/* gather_nd: the slices that tuples of indices name: y[i,...] = x[index[i],...]; the first
 * batch_dims dimensions of both go side by side. */
#include "ops/grad.h"
#include "ops/indexing.h"
#include <string.h>

typedef struct attrs {
    int64_t batch_dims;
} attrs;
static const sqz_attr schema[] = {{.name = "batch_dims",
                                   .offset = offsetof(attrs, batch_dims),
                                   .type = SQZ_A_INT,
                                   .max = SQZ_MAX_RANK - 1,
                                   .doc = "leading dimensions that data and indices share"}};

static sqz_status infer(sqz_infer *q)
{
    const int32_t b = (int32_t)((const attrs *)q->attrs)->batch_dims;
    const sqz_shape *x = &q->in[0]->shape, *k = &q->in[1]->shape;
    sqz_shape *y = &q->out[0];
    SQZ_TRY(sqz_tuples_infer(q, b));
    const int32_t m = (int32_t)k->dim[k->rank - 1];
    if (k->rank - 1 + x->rank - b - m > SQZ_MAX_RANK)
        return sqz_fail(q->ctx, SQZ_E_LIMIT, "an output of rank %d, at most %d are supported",
                        (int)(k->rank - 1 + x->rank - b - m), SQZ_MAX_RANK);
    for (int32_t i = 0; i < k->rank - 1; i++)
        y->dim[y->rank++] = k->dim[i];
    for (int32_t i = b + m; i < x->rank; i++)
        y->dim[y->rank++] = x->dim[i];
    return SQZ_OK;
}

typedef struct job {
    sqz_tuples t;
    const sqz_tensor *k;
    size_t elem;
    const unsigned char *x;
    unsigned char *y;
} job;

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t bytes = j->t.slice * j->elem;
    for (size_t i = begin; i < end; i++)
        memcpy(j->y + i * bytes, j->x + sqz_tuples_at(&j->t, j->k, i) * j->elem, bytes);
    return SQZ_OK;
}

static sqz_status pick(const sqz_call *c, const void *arg)
{
    const attrs *at = arg;
    job j = {.k = c->in[1], .elem = sqz_elem(c->in[0]), .x = c->in[0]->data, .y = c->out[0]->data};
    SQZ_TRY(sqz_tuples_of(c->ctx, c->in[0], j.k, at->batch_dims, &j.t));
    if (c->out[0]->count == 0)
        return SQZ_OK;
    const size_t bytes = j.t.slice * j.elem;
    return sqz_parallel(c->ctx, j.t.n, 65536 / SQZ_MIN(bytes, (size_t)65536), piece, &j);
}

static sqz_status run(const sqz_call *c) { return sqz_move_run(c, pick, c->attrs); }

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    return sqz_moves_grad_prepare(p, run, sqz_move_prepare, 1);
}

static const sqz_case cases[] = {
    {.attrs = "",
     .n_in = 2,
     .in = {{2, {3, 4}}, {2, {5, 2}}},
     .constant = 2,
     .lo = -3,
     .hi = 2,
     .dtype = {SQZ_F32, SQZ_S64}},
    {.attrs = "batch_dims=1",
     .n_in = 2,
     .in = {{4, {2, 3, 3, 2}}, {3, {2, 4, 1}}},
     .lo = -3,
     .hi = 2,
     .dtype = {SQZ_F32, SQZ_S32}},
    {.attrs = "",
     .n_in = 2,
     .in = {{2, {3, 3}}, {2, {2, 1}}},
     .lo = -3,
     .hi = 2,
     .dtype = {SQZ_S4, SQZ_S64}},
};

const sqz_op sqz_op_gather_nd = {
    .info = {.name = "gather_nd",
             .doc = "picks slices named by tuples of indices",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 2,
    .n_in_max = 2,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_MOVES,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = run,
    .prepare = sqz_move_prepare,
    .cost = sqz_move_cost,
    .grad = sqz_moves_grad,
    .grad_prepare = grad_prepare,
    .quant = {.kind = SQZ_Q_SAME, .data_inputs = 1},
    .onnx = {.op_type = "GatherND", .since = 11},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
