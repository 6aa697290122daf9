/* gather_elements: one element for each index, along an axis: for axis 0, y[i,j] = x[index[i,j],j].
 */
#include "ops/grad.h"
#include "ops/indexing.h"
#include <string.h>

typedef struct attrs {
    int64_t axis;
} attrs;
static const sqz_attr schema[] = {{.name = "axis",
                                   .offset = offsetof(attrs, axis),
                                   .type = SQZ_A_INT,
                                   .min = -SQZ_MAX_RANK,
                                   .max = SQZ_MAX_RANK - 1,
                                   .flags = SQZ_AF_AXIS,
                                   .doc = "axis that is indexed"}};

static sqz_status infer(sqz_infer *q)
{
    q->out[0] = q->in[1]->shape;
    return sqz_elements_infer(q, ((const attrs *)q->attrs)->axis);
}

typedef struct job {
    sqz_elements e;
    const sqz_tensor *k;
    size_t elem;
    const unsigned char *x;
    unsigned char *y;
} job;

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_elements *e = &j->e;
    for (size_t row = begin; row < end; row++) {
        const size_t base = sqz_elements_base(e, row);
        for (size_t i = 0; i < e->width; i++) {
            const size_t at = row * e->width + i;
            const size_t from = base + i * e->step[e->rank - 1] +
                                sqz_index(j->k, at, e->n) * e->stride;
            memcpy(j->y + at * j->elem, j->x + from * j->elem, j->elem);
        }
    }
    return SQZ_OK;
}

static sqz_status pick(const sqz_call *c, const void *arg)
{
    const attrs *at = arg;
    job j = {.k = c->in[1], .elem = sqz_elem(c->in[0]), .x = c->in[0]->data, .y = c->out[0]->data};
    SQZ_TRY(sqz_elements_of(c->ctx, c->in[0], j.k, at->axis, &j.e));
    if (c->out[0]->count == 0)
        return SQZ_OK;
    return sqz_parallel(c->ctx, j.e.rows, 8192 / SQZ_MIN(j.e.width, (size_t)8192), piece, &j);
}

static sqz_status run(const sqz_call *c) { return sqz_move_run(c, pick, c->attrs); }

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    return sqz_moves_grad_prepare(p, run, sqz_move_prepare, 1);
}

static const sqz_case cases[] = {
    {.attrs = "axis=0",
     .n_in = 2,
     .in = {{2, {3, 4}}, {2, {5, 4}}},
     .constant = 2,
     .lo = -3,
     .hi = 2,
     .dtype = {SQZ_F32, SQZ_S64}},
    {.attrs = "axis=1",
     .n_in = 2,
     .in = {{3, {2, 3, 4}}, {3, {2, 5, 3}}},
     .lo = -3,
     .hi = 2,
     .dtype = {SQZ_F32, SQZ_S32}},
    {.attrs = "axis=-1",
     .n_in = 2,
     .in = {{2, {2, 3}}, {2, {2, 3}}},
     .lo = -3,
     .hi = 2,
     .dtype = {SQZ_S4, SQZ_S64}},
};

const sqz_op sqz_op_gather_elements = {
    .info = {.name = "gather_elements",
             .doc = "picks one element for each index, along an axis",
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
    .onnx = {.op_type = "GatherElements", .since = 11},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
