/* col2im: blocks of an image put back and added up where they overlap:
 * (N, C * prod(block), L) -> (N, C, *image). Block l lies where a convolution with these strides,
 * pads and dilations would read output l. Of any number of axes. */
#include "ops/ew.h"
#include "ops/grad.h"
#include "ops/move.h"

typedef struct attrs {
    sqz_ints image_shape, block_shape, strides, pads, dilations;
} attrs;
#define LIST(name_, lo, slot_, doc_)                                                               \
    {                                                                                              \
        .name = #name_, .offset = offsetof(attrs, name_), .type = SQZ_A_INTS, .min = lo,           \
        .max = INT32_MAX, .flags = slot_ ? SQZ_AF_REQUIRED : 0, .slot = slot_,                     \
        .since = slot_ ? 1 : 0, .doc = doc_                                                        \
    }
static const sqz_attr schema[] = {
    LIST(image_shape, 1, 1, "size of the image along each spatial axis"),
    LIST(block_shape, 1, 2, "size of a block"),
    LIST(strides, 1, 0, "from block to block"),
    LIST(pads, 0, 0, "padding: begins of all spatial axes, then ends"),
    LIST(dilations, 1, 0, "distance of two elements of a block in the image"),
};

enum { MOST = SQZ_MAX_RANK - 2 };

typedef struct plan { /* by spatial axis */
    int32_t n;
    int64_t image[MOST], block[MOST], stride[MOST], dil[MOST], pad[MOST], blocks[MOST];
    size_t block_size, n_blocks, image_size;
} plan;

static int64_t item(const sqz_ints *list, int32_t i, int64_t def)
{
    return list->n ? list->v[i] : def;
}

static sqz_status plan_of(sqz_ctx *ctx, const attrs *at, plan *p)
{
    const uint32_t n = at->image_shape.n;
    if (n < 1 || n > MOST || at->block_shape.n != n || (at->strides.n && at->strides.n != n) ||
        (at->dilations.n && at->dilations.n != n) || (at->pads.n && at->pads.n != 2 * n))
        return sqz_fail(
            ctx, SQZ_E_SHAPE,
            "an image of %u axes with a block of %u, strides of %u, dilations of %u and "
            "%u pads",
            (unsigned)n, (unsigned)at->block_shape.n, (unsigned)at->strides.n,
            (unsigned)at->dilations.n, (unsigned)at->pads.n);
    *p = (plan){.n = (int32_t)n, .block_size = 1, .n_blocks = 1, .image_size = 1};
    for (int32_t i = 0; i < p->n; i++) {
        p->image[i] = at->image_shape.v[i];
        p->block[i] = at->block_shape.v[i];
        p->stride[i] = item(&at->strides, i, 1);
        p->dil[i] = item(&at->dilations, i, 1);
        p->pad[i] = item(&at->pads, i, 0);
        const int64_t room = p->image[i] + p->pad[i] + item(&at->pads, i + p->n, 0) -
                             (p->dil[i] * (p->block[i] - 1) + 1);
        p->blocks[i] = room < 0 ? 0 : room / p->stride[i] + 1;
        if (!sqz_mul(p->block_size, (size_t)p->block[i], &p->block_size) ||
            !sqz_mul(p->n_blocks, (size_t)p->blocks[i], &p->n_blocks) ||
            !sqz_mul(p->image_size, (size_t)p->image[i], &p->image_size))
            return sqz_fail(ctx, SQZ_E_LIMIT, "the image or its blocks are too large");
    }
    return SQZ_OK;
}

static sqz_status infer(sqz_infer *q)
{
    const sqz_shape *x = &q->in[0]->shape;
    plan p = {0};
    SQZ_TRY(sqz_need_real(q, 0));
    SQZ_TRY(plan_of(q->ctx, q->attrs, &p));
    if (x->rank != 3 || (size_t)x->dim[1] % p.block_size || (size_t)x->dim[2] != p.n_blocks)
        return sqz_fail(q->ctx, SQZ_E_SHAPE,
                        "an input of rank %d with %lld blocks of %lld, expected (N, C * %zu, %zu)",
                        (int)x->rank, (long long)(x->rank > 2 ? x->dim[2] : 0),
                        (long long)(x->rank > 1 ? x->dim[1] : 0), p.block_size, p.n_blocks);
    q->out[0].rank = p.n + 2;
    q->out[0].dim[0] = x->dim[0];
    q->out[0].dim[1] = x->dim[1] / (int64_t)p.block_size;
    for (int32_t i = 0; i < p.n; i++)
        q->out[0].dim[2 + i] = p.image[i];
    return SQZ_OK;
}

typedef struct job {
    plan p;
    const float *x;
    float *y;
} job;

/* Index in the image of element b of block l, or -1 in the padding. */
static int64_t place(const plan *p, size_t b, size_t l)
{
    int64_t at = 0, step = 1;
    for (int32_t a = p->n - 1; a >= 0; a--) {
        const int64_t in = (int64_t)(b % (size_t)p->block[a]),
                      o = (int64_t)(l % (size_t)p->blocks[a]);
        const int64_t i = o * p->stride[a] - p->pad[a] + in * p->dil[a];
        b /= (size_t)p->block[a];
        l /= (size_t)p->blocks[a];
        if (i < 0 || i >= p->image[a])
            return -1;
        at += i * step;
        step *= p->image[a];
    }
    return at;
}

/* Images of one channel; what meets in an element is added in the order of the input. */
static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const plan *p = &j->p;
    for (size_t i = begin; i < end; i++) {
        const float *x = j->x + i * p->block_size * p->n_blocks;
        float *y = j->y + i * p->image_size;
        for (size_t k = 0; k < p->image_size; k++)
            y[k] = 0;
        for (size_t b = 0; b < p->block_size; b++)
            for (size_t l = 0; l < p->n_blocks; l++) {
                const int64_t at = place(p, b, l);
                if (at >= 0)
                    y[at] += x[b * p->n_blocks + l];
            }
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    job j = {.x = SQZ_F32P(c->in[0]), .y = SQZ_F32P(c->out[0])};
    SQZ_TRY(plan_of(c->ctx, c->attrs, &j.p));
    return sqz_parallel(c->ctx, c->out[0]->count / SQZ_MAX(j.p.image_size, (size_t)1), 1, piece,
                        &j);
}

static void cost(const sqz_infer *q, sqz_cost *out)
{
    *out = (sqz_cost){.kind = SQZ_COST_MOVE, .ops = 1};
    for (int32_t i = 0; i < q->in[0]->shape.rank; i++)
        out->ops *= (uint64_t)q->in[0]->shape.dim[i];
}

/* What was added up somewhere gets what is there. */
static sqz_status grad_piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const plan *p = &j->p;
    for (size_t i = begin; i < end; i++) {
        const float *g = j->x + i * p->image_size;
        float *d = j->y + i * p->block_size * p->n_blocks;
        for (size_t b = 0; b < p->block_size; b++)
            for (size_t l = 0; l < p->n_blocks; l++) {
                const int64_t at = place(p, b, l);
                d[b * p->n_blocks + l] += at >= 0 ? g[at] : 0;
            }
    }
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    job j = {.x = c->out_grad[0], .y = c->in_grad[0]};
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c))
        return SQZ_OK;
    SQZ_TRY(plan_of(c->ctx, c->attrs, &j.p));
    sqz_grad_begin(c, 0);
    return sqz_parallel(c->ctx, c->out[0]->count / SQZ_MAX(j.p.image_size, (size_t)1), 1,
                        grad_piece, &j);
}

static const sqz_case cases[] = {
    {.attrs = "image_shape=5,5 block_shape=1,5", .n_in = 1, .in = {{3, {2, 10, 5}}}},
    {.attrs = "image_shape=5,4 block_shape=2,3 strides=2,1 pads=1,0,0,1 dilations=1,1",
     .n_in = 1,
     .in = {{3, {1, 12, 9}}}},
    {.attrs = "image_shape=3,4,5 block_shape=1,2,2 dilations=1,2,1",
     .n_in = 1,
     .in = {{3, {1, 4, 24}}}},
};

const sqz_op sqz_op_col2im = {
    .info = {.name = "col2im",
             .doc = "blocks of an image put back and added up",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .infer = infer,
    .run = run,
    .cost = cost,
    .grad = grad,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Col2Im", .since = 18},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
