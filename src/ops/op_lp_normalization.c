/* lp_normalization: y = x / |x|_p along an axis, p 1 or 2; zeros stay zeros. */
#include "ops/grad.h"
#include "ops/softmax.h"
#include "ops/ties.h"

typedef struct attrs {
    int64_t axis, p;
} attrs;
static const sqz_attr schema[] = {{.name = "axis",
                                   .offset = offsetof(attrs, axis),
                                   .type = SQZ_A_INT,
                                   .def = -1,
                                   .min = -SQZ_MAX_RANK,
                                   .max = SQZ_MAX_RANK - 1,
                                   .flags = SQZ_AF_AXIS,
                                   .doc = "axis along which the results have norm 1"},
                                  {.name = "p",
                                   .offset = offsetof(attrs, p),
                                   .type = SQZ_A_INT,
                                   .def = 2,
                                   .min = 1,
                                   .max = 2,
                                   .doc = "1: sum of magnitudes, 2: root of the sum of squares"}};

static void scale(float *y, size_t n, size_t step, double norm)
{
    for (size_t i = 0; i < n && norm != 0; i++)
        y[i * step] = (float)((double)y[i * step] / norm);
}

static void row1(float *y, size_t n, size_t step)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)y[i * step]);
    scale(y, n, step, sum);
}

static void row2(float *y, size_t n, size_t step)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)y[i * step] * (double)y[i * step];
    scale(y, n, step, sqrt(sum));
}

static sqz_status infer(sqz_infer *q)
{
    int32_t axis = 0;
    SQZ_TRY(sqz_need_real(q, 0));
    q->out[0] = q->in[0]->shape;
    return sqz_axis(q->ctx, ((const attrs *)q->attrs)->axis, q->in[0]->shape.rank, &axis);
}

static sqz_status run(const sqz_call *c)
{
    const attrs *at = c->attrs;
    const sqz_softmax_attrs rows = {at->axis};
    sqz_call call = *c;
    call.attrs = &rows;
    return sqz_softmax_run(&call, at->p == 1 ? row1 : row2);
}

/* Zeros add nothing to a norm. */
static void ties(sqz_ties *t) { sqz_ties_axes(t, 0, 0); }

/* dx = (g - y' sum(g y)) / norm, with y' = y for p 2, sign(x) for p 1; 0 where the norm is. */
typedef struct lines {
    const sqz_grad_call *c;
    sqz_split3 s;
    bool first; /* p 1 */
} lines;

static sqz_status grad_lines(void *arg, size_t begin, size_t end)
{
    const lines *l = arg;
    const bool add = sqz_grad_adds(l->c, 0);
    const size_t step = l->s.inner;
    for (size_t i = begin; i < end; i++) {
        const size_t at = i / step * l->s.n * step + i % step;
        const float *x = SQZ_F32P(l->c->in[0]) + at, *g = l->c->out_grad[0] + at;
        float *d = l->c->in_grad[0] + at;
        double norm = 0, gx = 0;
        for (size_t k = 0; k < l->s.n; k++) {
            const double v = (double)x[k * step];
            norm += l->first ? fabs(v) : v * v;
            gx += (double)g[k * step] * v;
        }
        norm = l->first ? norm : sqrt(norm);
        for (size_t k = 0; k < l->s.n; k++) {
            const double v = (double)x[k * step];
            const double y = l->first ? (v > 0) - (v < 0) : v / norm;
            const double one = norm > 0 ? ((double)g[k * step] - y * gx / norm) / norm : 0;
            d[k * step] = (add ? d[k * step] : 0) + (float)one;
        }
    }
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    const attrs *at = c->attrs;
    lines l = {.c = c, .first = at->p == 1};
    int32_t axis;
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c) || c->in[0]->count == 0)
        return SQZ_OK;
    SQZ_TRY(sqz_axis(c->ctx, at->axis, c->in[0]->shape.rank, &axis));
    l.s = sqz_split_at(&c->in[0]->shape, axis);
    return sqz_parallel(c->ctx, l.s.outer * l.s.inner, 4096 / l.s.n + 1, grad_lines, &l);
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{2, {3, 10}}}},
    {.attrs = "axis=1 p=1", .n_in = 1, .in = {{3, {2, 5, 3}}}},
};

const sqz_op sqz_op_lp_normalization = {
    .info = {.name = "lp_normalization",
             .doc = "x divided by its norm along an axis",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_IN_PLACE,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .cost = sqz_softmax_cost,
    .ties = ties,
    .grad = grad,
    .grad_reads = SQZ_GRAD_IN0,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "LpNormalization", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
