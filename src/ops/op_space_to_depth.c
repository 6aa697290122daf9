/* space_to_depth: b x b pixels become channels: channel (i*b+j)*C + c is pixel (i,j) of the block.
 * Channel-last: (N,H*b,W*b,C) to (N,H,W,C*b*b). */
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"
#include <string.h>

typedef struct attrs {
    int64_t blocksize;
} attrs;
static const sqz_attr schema[] = {{.name = "blocksize",
                                   .offset = offsetof(attrs, blocksize),
                                   .type = SQZ_A_INT,
                                   .def = 1,
                                   .min = 1,
                                   .max = 32767,
                                   .flags = SQZ_AF_REQUIRED,
                                   .doc = "length of a block, b"}};

static sqz_status infer(sqz_infer *q)
{
    const int64_t b = ((const attrs *)q->attrs)->blocksize;
    const sqz_shape *x = &q->in[0]->shape;
    const int32_t c = sqz_axis_c(q->in[0]), s = sqz_axis_s(q->in[0]);
    if (x->rank != 4)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "an input of rank %d, expected 4", (int)x->rank);
    if (x->dim[s] % b || x->dim[s + 1] % b)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "%lld x %lld pixels are no blocks of %lld x %lld",
                        (long long)x->dim[s], (long long)x->dim[s + 1], (long long)b, (long long)b);
    q->out[0] = *x;
    q->out[0].dim[s] /= b;
    q->out[0].dim[s + 1] /= b;
    if (__builtin_mul_overflow(x->dim[c], b * b, &q->out[0].dim[c]))
        return sqz_fail(q->ctx, SQZ_E_LIMIT, "the output is too large");
    return SQZ_OK;
}

typedef struct job {
    size_t w, b, run; /* width of the output; bytes of b pixels beside each other */
    const unsigned char *x;
    unsigned char *y;
} job;

/* Rows begin .. end-1 of the output: b pixels beside each other stay beside each other. */
static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    for (size_t row = begin; row < end; row++)
        for (size_t col = 0; col < j->w; col++)
            for (size_t i = 0; i < j->b; i++)
                memcpy(j->y + ((row * j->w + col) * j->b + i) * j->run,
                       j->x + ((row * j->b + i) * j->w + col) * j->run, j->run);
    return SQZ_OK;
}

static sqz_status gather_blocks(const sqz_call *c, const void *arg)
{
    const attrs *at = arg;
    const int64_t *x = c->in[0]->shape.dim, *y = c->out[0]->shape.dim;
    job j = {.w = (size_t)y[2],
             .b = (size_t)at->blocksize,
             .run = (size_t)at->blocksize * (size_t)x[3] * sqz_elem(c->in[0]),
             .x = c->in[0]->data,
             .y = c->out[0]->data};
    if (c->out[0]->count == 0)
        return SQZ_OK;
    const size_t row_bytes = j.w * j.b * j.run;
    return sqz_parallel(c->ctx, (size_t)(y[0] * y[1]), 65536 / SQZ_MIN(row_bytes, (size_t)65536),
                        piece, &j);
}

static sqz_status run(const sqz_call *c) { return sqz_move_run(c, gather_blocks, c->attrs); }

static void ties(sqz_ties *t)
{
    const int32_t c = sqz_axis_c(t->in[0]);
    const sqz_tie_end from = SQZ_TIE_IN(0, c), to = SQZ_TIE_OUT(0, c);
    sqz_tie_same(t, SQZ_TIE_IN(0, 0), SQZ_TIE_OUT(0, 0));
    t->row(t, &from, &to, t->in[0]->shape.dim[c]);
}

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    return sqz_moves_grad_prepare(p, run, sqz_move_prepare, 1);
}

static const sqz_case cases[] = {
    {.attrs = "blocksize=2", .n_in = 1, .in = {{4, {2, 4, 6, 3}}}},
    {.attrs = "blocksize=3", .n_in = 1, .in = {{4, {1, 3, 3, 1}}}, .hi = 15, .dtype = {SQZ_U4}},
};

const sqz_op sqz_op_space_to_depth = {
    .info = {.name = "space_to_depth",
             .doc = "blocks of pixels become channels",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_MOVES,
    .layout = SQZ_L_CHANNELS,
    .infer = infer,
    .run = run,
    .prepare = sqz_move_prepare,
    .cost = sqz_move_cost,
    .ties = ties,
    .grad = sqz_moves_grad,
    .grad_prepare = grad_prepare,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "SpaceToDepth", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
