/* depth_to_space: blocks of channels become b x b pixels. With C' = C/(b*b), pixel (i,j) of a block
 * takes channel (i*b+j)*C' + c (DCR) or c*b*b + i*b+j (CRD). Channel-last: (N,H,W,C) to
 * (N,H*b,W*b,C'). */
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/ties.h"
#include <string.h>

typedef struct attrs {
    int64_t blocksize, mode;
} attrs;
enum { DCR, CRD };
static const sqz_attr schema[] = {
    {.name = "blocksize",
     .offset = offsetof(attrs, blocksize),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 1,
     .max = 32767,
     .flags = SQZ_AF_REQUIRED,
     .doc = "length of a block, b"},
    {.name = "mode",
     .offset = offsetof(attrs, mode),
     .type = SQZ_A_ENUM,
     .max = CRD,
     .names = "DCR|CRD",
     .doc = "whether blocks or channels are the outer index of C"},
};

static sqz_status infer(sqz_infer *q)
{
    const int64_t b = ((const attrs *)q->attrs)->blocksize;
    const sqz_shape *x = &q->in[0]->shape;
    const int32_t c = sqz_axis_c(q->in[0]), s = sqz_axis_s(q->in[0]);
    if (x->rank != 4)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "an input of rank %d, expected 4", (int)x->rank);
    if (x->dim[c] % (b * b))
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "%lld channels are no blocks of %lld x %lld",
                        (long long)x->dim[c], (long long)b, (long long)b);
    q->out[0] = *x;
    q->out[0].dim[c] = x->dim[c] / (b * b);
    for (int32_t i = 0; i < 2; i++)
        if (__builtin_mul_overflow(x->dim[s + i], b, &q->out[0].dim[s + i]))
            return sqz_fail(q->ctx, SQZ_E_LIMIT, "the output is too large");
    return SQZ_OK;
}

typedef struct job {
    size_t h, w, c, b, elem; /* c: channels of the output */
    bool crd;
    const unsigned char *x;
    unsigned char *y;
} job;

/* The channels of one output pixel. */
static void pixel(const job *j, const unsigned char *block, size_t at, unsigned char *y)
{
    if (!j->crd) {
        memcpy(y, block + at * j->c * j->elem, j->c * j->elem);
        return;
    }
    for (size_t c = 0; c < j->c; c++)
        memcpy(y + c * j->elem, block + (c * j->b * j->b + at) * j->elem, j->elem);
}

/* Rows begin .. end-1 of the output, counted over the batch. */
static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t block = j->c * j->b * j->b * j->elem, width = j->w * j->b;
    for (size_t row = begin; row < end; row++) {
        const unsigned char *x = j->x + row / j->b * j->w * block; /* H*b rows for H, so N and H */
        unsigned char *y = j->y + row * width * j->c * j->elem;
        for (size_t col = 0; col < width; col++)
            pixel(j, x + col / j->b * block, row % j->b * j->b + col % j->b,
                  y + col * j->c * j->elem);
    }
    return SQZ_OK;
}

static sqz_status spread(const sqz_call *c, const void *arg)
{
    const attrs *at = arg;
    const int64_t *x = c->in[0]->shape.dim;
    job j = {.h = (size_t)x[1],
             .w = (size_t)x[2],
             .c = (size_t)c->out[0]->shape.dim[3],
             .b = (size_t)at->blocksize,
             .elem = sqz_elem(c->in[0]),
             .crd = at->mode == CRD,
             .x = c->in[0]->data,
             .y = c->out[0]->data};
    if (c->out[0]->count == 0)
        return SQZ_OK;
    const size_t row_bytes = j.w * j.b * j.c * j.elem;
    return sqz_parallel(c->ctx, (size_t)x[0] * j.h * j.b, 65536 / SQZ_MIN(row_bytes, (size_t)65536),
                        piece, &j);
}

static sqz_status run(const sqz_call *c) { return sqz_move_run(c, spread, c->attrs); }

static void ties(sqz_ties *t)
{
    const attrs *at = t->attrs;
    const int32_t c = sqz_axis_c(t->in[0]);
    const int64_t block = at->blocksize * at->blocksize;
    const sqz_tie_end from = {.value = 0, .axis = c, .div = at->mode == CRD ? block : 1};
    const sqz_tie_end to = SQZ_TIE_OUT(0, c);
    sqz_tie_same(t, SQZ_TIE_IN(0, 0), SQZ_TIE_OUT(0, 0));
    t->row(t, &from, &to, t->out[0]->shape.dim[c]);
}

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    return sqz_moves_grad_prepare(p, run, sqz_move_prepare, 1);
}

static const sqz_case cases[] = {
    {.attrs = "blocksize=2", .n_in = 1, .in = {{4, {2, 3, 2, 12}}}},
    {.attrs = "blocksize=2 mode=CRD", .n_in = 1, .in = {{4, {1, 2, 3, 8}}}},
    {.attrs = "blocksize=2",
     .n_in = 1,
     .in = {{4, {1, 1, 2, 4}}},
     .lo = -8,
     .hi = 7,
     .dtype = {SQZ_S4}},
};

const sqz_op sqz_op_depth_to_space = {
    .info = {.name = "depth_to_space",
             .doc = "blocks of channels become pixels",
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
    .onnx = {.op_type = "DepthToSpace", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
