/* lrn: y = x / (bias + alpha / size * sum of x^2 over `size` neighboring channels)^beta
 * (Krizhevsky et al. 2012). Channel-last. */
#include "ops/ew.h"
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
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "LRN", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
