/* dropout_train: y = 0 for a share `ratio` of the elements, x / (1 - ratio) for the others
 * (Srivastava et al. 2014). Which ones is a function of seed, step and place only, so that the
 * gradient draws them again. */
#include "ops/dropout.h"
#include "ops/ew.h"
#include "ops/grad.h"
#include <math.h>

#define BLOCK ((size_t)4096) /* elements with one key */

static const sqz_attr schema[] = {
    {.name = "ratio",
     .offset = offsetof(sqz_dropout_train_attrs, ratio),
     .type = SQZ_A_FLOAT,
     .def = 0.5,
     .min = 0,
     .max = 1,
     .doc = "of elements that are dropped"},
    {.name = "seed",
     .offset = offsetof(sqz_dropout_train_attrs, seed),
     .type = SQZ_A_INT,
     .def = 0,
     .min = 0,
     .max = 0x1p62,
     .doc = "of the random numbers"},
};

static sqz_status infer(sqz_infer *q)
{
    q->out[0] = q->in[0]->shape;
    return SQZ_OK;
}

typedef struct job {
    sqz_dropout_train_attrs a;
    uint64_t step;
    const float *x;
    float *y;
    size_t n;
    bool add;
} job;

/* Bits of i under a key, each depending on all of both: two rounds of multiply and shift. */
static inline uint32_t scramble(uint32_t i, uint32_t key, uint32_t more)
{
    uint32_t h = (i * 0x9e3779b1u) ^ key;
    h = (h ^ (h >> 16)) * 0x7feb352du;
    h = (h ^ (h >> 15)) * 0x846ca68bu + more;
    return h ^ (h >> 16);
}

static void block(const job *j, size_t b)
{
    sqz_rng r = {.seed = (uint64_t)j->a.seed, .counter = j->step};
    r = (sqz_rng){.seed = sqz_rng_u64(&r), .counter = b};
    const uint64_t key = sqz_rng_u64(&r);
    const uint32_t lo = (uint32_t)key, hi = (uint32_t)(key >> 32);
    const uint32_t least = (uint32_t)(j->a.ratio * 0x1p32 - 0.5); /* dropped below */
    const float factor = (float)(1 / (1 - j->a.ratio));
    const size_t first = (size_t)j->a.part * j->n; /* place of x[0] in the whole batch */
    const size_t begin = b * BLOCK < first ? first - b * BLOCK : 0;
    const size_t end = SQZ_MIN(first + j->n - b * BLOCK, BLOCK);
    const float *x = j->x + (b * BLOCK + begin - first);
    float *y = j->y + (b * BLOCK + begin - first);
    for (size_t i = 0; i < end - begin; i++) {
        const float v = scramble((uint32_t)(begin + i), lo, hi) < least ? 0 : x[i] * factor;
        y[i] = j->add ? y[i] + v : v;
    }
}

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    for (size_t b = begin; b < end; b++)
        block(j, (size_t)j->a.part * j->n / BLOCK + b);
    return SQZ_OK;
}

static sqz_status drop(sqz_ctx *ctx, job *j)
{
    const size_t first = (size_t)j->a.part * j->n;
    const size_t blocks = j->n ? (first + j->n - 1) / BLOCK - first / BLOCK + 1 : 0;
    if (j->a.ratio > 0 && j->a.ratio < 1)
        return sqz_parallel(ctx, blocks, 4, piece, j);
    for (size_t i = 0; i < j->n; i++) /* nothing, or all of it */
        j->y[i] = (j->add ? j->y[i] : 0) + (j->a.ratio > 0 ? 0 : j->x[i]);
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    job j = {.a = *(const sqz_dropout_train_attrs *)c->attrs,
             .step = c->step,
             .x = SQZ_F32P(c->in[0]),
             .y = SQZ_F32P(c->out[0]),
             .n = c->in[0]->count};
    return drop(c->ctx, &j);
}

static sqz_status grad(const sqz_grad_call *c)
{
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c))
        return SQZ_OK;
    job j = {.a = *(const sqz_dropout_train_attrs *)c->attrs,
             .step = c->step,
             .x = c->out_grad[0],
             .y = c->in_grad[0],
             .n = c->in[0]->count,
             .add = sqz_grad_adds(c, 0)};
    return drop(c->ctx, &j);
}

/* Of two axes at most: which elements are drawn depends on the layout, which is settled before. */
static const sqz_case cases[] = {
    {.attrs = "seed=3", .n_in = 1, .in = {{2, {6, 12}}}},
    {.attrs = "ratio=0.25 seed=9", .n_in = 1, .in = {{2, {3, 77}}}},
    {.attrs = "ratio=1", .n_in = 1, .in = {{1, {5}}}},
};

const sqz_op sqz_op_dropout_train = {
    .info = {.name = "dropout_train",
             .doc = "zero for some elements, drawn by seed and step",
             .opt_size = sizeof(sqz_dropout_train_attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_ELEMENTWISE | SQZ_T_UNARY | SQZ_T_IN_PLACE,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .grad = grad,
    .quant = {.kind = SQZ_Q_FLOAT},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
