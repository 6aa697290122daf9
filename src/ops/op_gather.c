/* gather: slices x[..., indices, ...] along an axis; the dimensions of the indices take the place
 * of that axis. Indices of 4 and 8 bits are those of a palette (ir/op.h): the file has wider ones.
 */
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"

typedef struct attrs {
    int64_t axis;
} attrs;
static const sqz_attr schema[] = {{.name = "axis",
                                   .offset = offsetof(attrs, axis),
                                   .type = SQZ_A_INT,
                                   .min = -SQZ_MAX_RANK,
                                   .max = SQZ_MAX_RANK - 1,
                                   .doc = "axis that is indexed"}};

static sqz_status infer(sqz_infer *q)
{
    const sqz_shape *x = &q->in[0]->shape, *k = &q->in[1]->shape;
    int32_t axis = 0;
    SQZ_TRY(sqz_axis(q->ctx, ((const attrs *)q->attrs)->axis, x->rank, &axis));
    if (q->in[1]->dtype != SQZ_U8 && q->in[1]->dtype != SQZ_U4)
        SQZ_TRY(sqz_need_index(q, 1));
    if (x->rank - 1 + k->rank > SQZ_MAX_RANK)
        return sqz_fail(q->ctx, SQZ_E_LIMIT, "an output of rank %d, at most %d are supported",
                        (int)(x->rank - 1 + k->rank), SQZ_MAX_RANK);
    for (int32_t i = 0; i < axis; i++)
        q->out[0].dim[q->out[0].rank++] = x->dim[i];
    for (int32_t i = 0; i < k->rank; i++)
        q->out[0].dim[q->out[0].rank++] = k->dim[i];
    for (int32_t i = axis + 1; i < x->rank; i++)
        q->out[0].dim[q->out[0].rank++] = x->dim[i];
    return SQZ_OK;
}

typedef struct job {
    const sqz_tensor *k;
    sqz_split3 s;
    size_t bytes; /* of a slice */
    const unsigned char *x;
    unsigned char *y;
} job;

/* Slices begin .. end-1 of the output. */
static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    for (size_t i = begin; i < end; i++) {
        const size_t outer = i / j->k->count,
                     at = sqz_index(j->k, i % j->k->count, (int64_t)j->s.n);
        sqz_copy(j->y + i * j->bytes, j->x + (outer * j->s.n + at) * j->bytes, j->bytes);
    }
    return SQZ_OK;
}

static sqz_status pick(const sqz_call *c, const void *arg)
{
    const attrs *at = arg;
    job j = {.k = c->in[1], .x = c->in[0]->data, .y = c->out[0]->data};
    int32_t axis = 0;
    SQZ_TRY(sqz_axis(c->ctx, at->axis, c->in[0]->shape.rank, &axis));
    j.s = sqz_split_at(&c->in[0]->shape, axis);
    j.bytes = j.s.inner * sqz_elem(c->in[0]);
    SQZ_TRY(sqz_check_indices(c->ctx, j.k, (int64_t)j.s.n));
    if (c->out[0]->count == 0)
        return SQZ_OK;
    return sqz_parallel(c->ctx, j.s.outer * j.k->count,
                        SQZ_MOVE_PIECE / SQZ_MIN(j.bytes, SQZ_MOVE_PIECE), piece, &j);
}

static sqz_status run(const sqz_call *c) { return sqz_move_run(c, pick, c->attrs); }

/* Slices go back to where they came from; those picked twice get the sum. */
typedef struct grad_job {
    const sqz_grad_call *c;
    sqz_split3 s;
} grad_job;

static sqz_status grad_piece(void *arg, size_t begin, size_t end)
{
    const grad_job *j = arg;
    const sqz_tensor *k = j->c->in[1];
    for (size_t outer = begin; outer < end; outer++)
        for (size_t i = 0; i < k->count; i++) {
            const int64_t at = sqz_tensor_i64(k, i);
            const size_t slice = (size_t)(at < 0 ? at + (int64_t)j->s.n : at);
            sqz_grad_rows(j->c->in_grad[0] + (outer * j->s.n + slice) * j->s.inner, 0,
                          j->c->out_grad[0] + (outer * k->count + i) * j->s.inner, 0, j->s.inner, 1,
                          true);
        }
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    grad_job j = {.c = c};
    int32_t axis = 0;
    SQZ_TRY(sqz_axis(c->ctx, ((const attrs *)c->attrs)->axis, c->in[0]->shape.rank, &axis));
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c))
        return SQZ_OK;
    j.s = sqz_split_at(&c->in[0]->shape, axis);
    sqz_grad_begin(c, 0);
    return sqz_parallel(c->ctx, j.s.outer, 1, grad_piece, &j);
}

#define INDICES .lo = -3, .hi = 2, .dtype = {SQZ_F32, SQZ_S64} /* within every axis below */
/* The axis that is indexed stays; the others go through. */
static void ties(sqz_ties *t)
{
    const sqz_shape *x = &t->in[0]->shape, *k = &t->in[1]->shape;
    int32_t axis = 0;
    if (sqz_axis(t->ctx, ((const attrs *)t->attrs)->axis, x->rank, &axis) != SQZ_OK)
        return;
    for (int32_t i = 0; i < x->rank; i++)
        if (i != axis)
            sqz_tie_same(t, SQZ_TIE_IN(0, i), SQZ_TIE_OUT(0, i < axis ? i : i + k->rank - 1));
    for (int32_t i = 0; i < k->rank; i++)
        sqz_tie_same(t, SQZ_TIE_IN(1, i), SQZ_TIE_OUT(0, axis + i));
}

static const sqz_case cases[] = {
    {.attrs = "axis=1", .n_in = 2, .in = {{3, {2, 3, 4}}, {1, {5}}}, .constant = 2, INDICES},
    {.attrs = "axis=-1", .n_in = 2, .in = {{2, {3, 5}}, {2, {2, 2}}}, .constant = 2, INDICES},
    {.attrs = "axis=0", .n_in = 2, .in = {{2, {4, 5}}, {0}}, INDICES},
    {.attrs = "axis=1",
     .n_in = 2,
     .in = {{2, {3, 3}}, {1, {3}}},
     .lo = -3,
     .hi = 2,
     .dtype = {SQZ_S4, SQZ_S32}},
};

const sqz_op sqz_op_gather = {
    .info = {.name = "gather",
             .doc = "picks slices along an axis",
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
    .grad = grad,
    .grad_reads = SQZ_GRAD_IN1,
    .ties = ties,
    .quant = {.kind = SQZ_Q_SAME, .data_inputs = 1},
    .onnx = {.op_type = "Gather", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
