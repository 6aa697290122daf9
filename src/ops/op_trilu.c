/* trilu: the upper or lower triangle of the last two axes, zeros elsewhere; works on the bytes of
 * any type. */
#include "ops/grad.h"
#include "ops/move.h"
#include <string.h>

typedef struct attrs {
    int64_t upper, k;
} attrs;
static const sqz_attr schema[] = {
    {.name = "upper",
     .offset = offsetof(attrs, upper),
     .type = SQZ_A_BOOL,
     .def = 1,
     .max = 1,
     .doc = "the triangle above the diagonal stays, else that below"},
    {.name = "k",
     .offset = offsetof(attrs, k),
     .type = SQZ_A_INT,
     .min = -0x1p62,
     .max = 0x1p62,
     .slot = 1,
     .since = 14,
     .doc = "the diagonal, which stays: 0 the main one, above it positive"},
};

static sqz_status infer(sqz_infer *q)
{
    SQZ_TRY(sqz_need_bytes(q, 0));
    if (q->in[0]->shape.rank < 2)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "%d dimensions, expected matrices",
                        (int)q->in[0]->shape.rank);
    q->out[0] = q->in[0]->shape;
    return SQZ_OK;
}

static sqz_status piece(void *arg, size_t begin, size_t end) /* of rows */
{
    const sqz_call *c = arg;
    const attrs *at = c->attrs;
    const sqz_shape *s = &c->in[0]->shape;
    const size_t size = sqz_elem(c->in[0]), n = (size_t)s->dim[s->rank - 1];
    for (size_t r = begin; r < end; r++) {
        const unsigned char *x = (const unsigned char *)c->in[0]->data + r * n * size;
        unsigned char *y = (unsigned char *)c->out[0]->data + r * n * size;
        /* the first column of the upper triangle, or of what is above the lower one */
        int64_t first = (int64_t)(r % (size_t)s->dim[s->rank - 2]) + at->k + !at->upper;
        size_t cut = (size_t)SQZ_MIN(SQZ_MAX(first, 0), (int64_t)n);
        memmove(y, x, n * size);
        memset(y + (at->upper ? 0 : cut * size), 0, (at->upper ? cut : n - cut) * size);
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    sqz_call call = *c;
    if (c->out[0]->count == 0)
        return SQZ_OK;
    const size_t n = (size_t)c->in[0]->shape.dim[c->in[0]->shape.rank - 1];
    return sqz_parallel(c->ctx, c->out[0]->count / n, 1 + 16384 / n, piece, &call);
}

static sqz_status grad_prepare(sqz_grad_prep *p) { return sqz_moves_grad_prepare(p, run, NULL, 1); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{2, {4, 5}}}},
    {.attrs = "upper=0 k=-1", .n_in = 1, .in = {{3, {2, 4, 3}}}},
    {.attrs = "k=2", .n_in = 1, .in = {{2, {4, 5}}}, .lo = -9, .hi = 9, .dtype = {SQZ_S64}},
};

const sqz_op sqz_op_trilu = {
    .info = {.name = "trilu",
             .doc = "upper or lower triangle of matrices",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_IN_PLACE | SQZ_T_TYPES,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = run,
    .cost = sqz_move_cost,
    .grad = sqz_moves_grad,
    .grad_prepare = grad_prepare,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Trilu", .since = 14},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
