/* lrn: y = x / (bias + alpha / size * sum of x^2 over `size` neighboring channels)^beta
 * (Krizhevsky et al. 2012). Channel-last. */
#include "ops/ew.h"
#include "ops/grad.h"
#include "ops/linear.h"
#include "ops/move.h"
#include "ops/ties.h"

typedef struct attrs {
    double alpha, beta, bias;
    int64_t size;
} attrs;
#define LRN_FLOAT(field, d, text)                                                                  \
    {                                                                                              \
        .name = #field, .offset = offsetof(attrs, field), .type = SQZ_A_FLOAT, .def = d,           \
        .doc = text                                                                                \
    }
static const sqz_attr schema[] = {
    LRN_FLOAT(alpha, 1e-4f, "weight of the mean square"),
    LRN_FLOAT(beta, 0.75, "exponent"),
    LRN_FLOAT(bias, 1, "what the mean square is added to"),
    {.name = "size",
     .offset = offsetof(attrs, size),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 1,
     .max = INT32_MAX,
     .flags = SQZ_AF_REQUIRED,
     .doc = "channels in a sum: (size - 1) / 2 before, the others from the channel on"},
};

static sqz_status infer(sqz_infer *q)
{
    SQZ_TRY(sqz_need_real(q, 0));
    q->out[0] = q->in[0]->shape;
    if (q->out[0].rank < 2)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "an input of rank %d has no channels",
                        (int)q->out[0].rank);
    return SQZ_OK;
}

static void pixel(const attrs *at, const float *x, float *y, int64_t n)
{
    const int64_t before = (at->size - 1) / 2, after = at->size - 1 - before;
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        int64_t last = after < n - 1 - i ? i + after : n - 1;
        for (int64_t k = SQZ_MAX(i - before, 0); k <= last; k++)
            sum += (double)x[k] * (double)x[k];
        y[i] = (float)((double)x[i] / pow(at->bias + at->alpha / (double)at->size * sum, at->beta));
    }
}

static sqz_status chunk(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const size_t n = sqz_dim(c->in[0], c->in[0]->shape.rank - 1);
    for (size_t i = begin; i < end; i++)
        pixel(c->attrs, SQZ_F32P(c->in[0]) + i * n, SQZ_F32P(c->out[0]) + i * n, (int64_t)n);
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const size_t n = sqz_dim(c->in[0], c->in[0]->shape.rank - 1);
    sqz_call call = *c;
    return n ? sqz_parallel(c->ctx, c->in[0]->count / n, 2048 / n + 1, chunk, &call) : SQZ_OK;
}

/* The power counts as much as ten sums. */
static void cost(const sqz_infer *q, sqz_cost *out)
{
    const attrs *at = q->attrs;
    sqz_move_cost(q, out);
    out->kind = SQZ_COST_ELEMENTWISE;
    out->ops *= 10 + (uint64_t)SQZ_MIN(at->size, q->in[0]->shape.dim[sqz_axis_c(q->in[0])]);
}

/* Each channel is scaled by its neighbors: those stay. */
static void ties(sqz_ties *t) { sqz_ties_axes(t, 0, 1u << sqz_axis_c(t->in[0])); }

/* With s the sum of a channel, bias included: dx_i = g_i s_i^-beta - 2 alpha beta / size * x_i *
 * (sum over the channels k that count i of g_k x_k s_k^(-beta-1)). */
static double sum_at(const attrs *at, const float *x, int64_t n, int64_t i)
{
    const int64_t before = (at->size - 1) / 2, after = at->size - 1 - before;
    const int64_t last = after < n - 1 - i ? i + after : n - 1;
    double sum = 0;
    for (int64_t k = SQZ_MAX(i - before, 0); k <= last; k++)
        sum += (double)x[k] * (double)x[k];
    return at->bias + at->alpha / (double)at->size * sum;
}

static sqz_status grad_pixels(void *arg, size_t begin, size_t end)
{
    const sqz_grad_call *c = arg;
    const attrs *at = c->attrs;
    const int64_t n = c->in[0]->shape.dim[c->in[0]->shape.rank - 1];
    const int64_t before = (at->size - 1) / 2, after = at->size - 1 - before;
    for (size_t p = begin; p < end; p++) {
        const float *x = SQZ_F32P(c->in[0]) + p * (size_t)n;
        const float *g = c->out_grad[0] + p * (size_t)n;
        float *d = c->in_grad[0] + p * (size_t)n;
        double *back = (double *)c->scratch + p * (size_t)n;
        for (int64_t k = 0; k < n; k++)
            back[k] = (double)g[k] * (double)x[k] * pow(sum_at(at, x, n, k), -at->beta - 1);
        for (int64_t i = 0; i < n; i++) {
            const int64_t last = before < n - 1 - i ? i + before : n - 1;
            double sum = 0;
            for (int64_t k = SQZ_MAX(i - after, 0); k <= last; k++)
                sum += back[k];
            const double own = (double)g[i] * pow(sum_at(at, x, n, i), -at->beta);
            const double by = 2 * at->alpha * at->beta / (double)at->size * (double)x[i];
            d[i] = (sqz_grad_adds(c, 0) ? d[i] : 0) + (float)(own - by * sum);
        }
    }
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    const size_t n = sqz_dim(c->in[0], c->in[0]->shape.rank - 1);
    sqz_grad_call call = *c;
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c) || n == 0)
        return SQZ_OK;
    return sqz_parallel(c->ctx, c->in[0]->count / n, 1024 / n + 1, grad_pixels, &call);
}
static sqz_status grad_prepare(sqz_grad_prep *p)
{
    if (!sqz_mul(p->in[0]->count, sizeof(double), &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "size=3", .n_in = 1, .in = {{4, {2, 3, 4, 5}}}},
    {.attrs = "size=4 alpha=0.5 beta=0.6 bias=2", .n_in = 1, .in = {{3, {2, 3, 7}}}},
    {.attrs = "size=9 alpha=0.5", .n_in = 1, .in = {{2, {3, 4}}}},
};

const sqz_op sqz_op_lrn = {
    .info = {.name = "lrn",
             .doc = "local response normalization over neighboring channels",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .layout = SQZ_L_CHANNELS,
    .infer = infer,
    .run = run,
    .cost = cost,
    .ties = ties,
    .grad = grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "LRN", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
