/* batch_norm_train: y = (x - mean) / sqrt(variance + epsilon) * scale + bias per channel, by the
 * statistics of the batch, which are further outputs: mean (C), variance (C, not corrected for its
 * bias) (Ioffe & Szegedy 2015). A clamp that follows may be its own (min, max).
 *
 * With d = x - mean, f = scale / sqrt(variance + epsilon), u the gradient of y behind the clamp,
 * and n rows: dx = f u - f (mean(u) + d mean(u d) / (variance + epsilon)), dscale = f / scale *
 * sum(u d), dbias = sum(u); gradients of the statistics themselves come on top. Sums are made in
 * float over some rows, in double over these, in pieces that depend on sizes only. */
#include "ops/batch_norm.h"
#include "ops/grad.h"
#include "ops/linear.h"
#include "ops/team.h"
#include <math.h>
#include <string.h>

#define LINES 64    /* rows that are added up in float */
#define PIECE 32768 /* elements of a piece of work, about */

static const sqz_attr schema[] = {
    {.name = "epsilon",
     .offset = offsetof(sqz_batch_norm_train_attrs, epsilon),
     .type = SQZ_A_FLOAT,
     .def = 1e-5f,
     .min = 0,
     .max = 1,
     .doc = "added to the variance"},
    {.name = "min",
     .offset = offsetof(sqz_batch_norm_train_attrs, lo),
     .type = SQZ_A_FLOAT,
     .def = -INFINITY,
     .min = -INFINITY,
     .max = INFINITY,
     .doc = "lower bound of the result"},
    {.name = "max",
     .offset = offsetof(sqz_batch_norm_train_attrs, hi),
     .type = SQZ_A_FLOAT,
     .def = INFINITY,
     .min = -INFINITY,
     .max = INFINITY,
     .doc = "upper bound of the result"},
};

static sqz_status infer(sqz_infer *q)
{
    const sqz_value *x = q->in[0];
    SQZ_TRY(sqz_check_types(q));
    if (x->shape.rank < 2)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "an input of rank %d has no channels",
                        (int)x->shape.rank);
    const int64_t c = x->shape.dim[sqz_axis_c(x)];
    for (unsigned i = 1; i < 3; i++)
        if (q->in[i]->shape.rank != 1 || q->in[i]->shape.dim[0] != c)
            return sqz_fail(q->ctx, SQZ_E_SHAPE,
                            "input %u must have one number for each of %lld channels", i,
                            (long long)c);
    q->out[0] = x->shape;
    q->out[1] = q->out[2] = q->in[1]->shape;
    return SQZ_OK;
}

static void cost(const sqz_infer *q, sqz_cost *out)
{
    out->kind = SQZ_COST_ELEMENTWISE;
    out->ops = 5;
    for (int32_t i = 0; i < q->out[0].rank; i++)
        out->ops *= (uint64_t)q->out[0].dim[i];
}

/* ---- workspace, of both directions ---- */

typedef struct room {
    size_t rows, n, lines, pieces; /* lines: rows of a piece */
    float *from, *factor, *shift, *slope, *rest;
    double *part; /* two sums of each piece */
    float *strip; /* the same of LINES rows */
} room;

static room room_of(const sqz_tensor *x, const sqz_tensor *scale)
{
    room m = {.n = scale->count, .rows = scale->count ? x->count / scale->count : 0};
    m.lines = SQZ_MAX(PIECE / SQZ_MAX(m.n, (size_t)1) / LINES, (size_t)1) * LINES;
    m.pieces = (m.rows + m.lines - 1) / m.lines;
    return m;
}

static sqz_status room_bytes(sqz_ctx *ctx, const room *m, size_t *bytes)
{
    size_t sums;
    if (!sqz_mul(m->pieces, 2 * (sizeof(double) + sizeof(float)), &sums) ||
        !sqz_add(sums, 5 * sizeof(float), &sums) || !sqz_mul(sums, m->n, bytes))
        return sqz_fail(ctx, SQZ_E_LIMIT, "%zu channels: too large", m->n);
    return SQZ_OK;
}

static void room_in(room *m, void *scratch)
{
    m->part = scratch;
    m->strip = (float *)(m->part + m->pieces * 2 * m->n);
    m->from = m->strip + m->pieces * 2 * m->n;
    m->factor = m->from + m->n;
    m->shift = m->factor + m->n;
    m->slope = m->shift + m->n;
    m->rest = m->slope + m->n;
}

/* The sums of all pieces in the first one. */
static void add_pieces(const room *m)
{
    for (size_t i = 1; i < m->pieces; i++)
        for (size_t k = 0; k < 2 * m->n; k++)
            m->part[k] += m->part[i * 2 * m->n + k];
}

/* Sums of all who share the batch. */
static sqz_status share(const sqz_batch_norm_train_attrs *a, double *v, size_t n)
{
    return a->team ? a->team->sum(a->team->user, v, n) : SQZ_OK;
}

/* Rows of the whole batch. */
static double all_rows(const room *m, const sqz_batch_norm_train_attrs *a)
{
    return (double)m->rows * (a->team ? a->team->size : 1);
}

/* Per channel, as the given statistics say. */
static void factors(const room *m, const sqz_tensor *const *in, const float *mean,
                    const float *variance, double epsilon)
{
    for (size_t k = 0; k < m->n; k++) {
        m->from[k] = mean[k];
        m->factor[k] = (float)((double)SQZ_F32P(in[1])[k] / sqrt((double)variance[k] + epsilon));
        m->shift[k] = SQZ_F32P(in[2])[k];
    }
}

static sqz_bn kernel_of(const room *m, const sqz_batch_norm_train_attrs *a)
{
    return (sqz_bn){.n = m->n,
                    .from = m->from,
                    .factor = m->factor,
                    .shift = m->shift,
                    .lo = (float)a->lo,
                    .hi = (float)a->hi,
                    .clamped = a->lo > -(double)INFINITY || a->hi < (double)INFINITY};
}

/* ---- forward ---- */

static sqz_status prepare(sqz_prep *p)
{
    const room m = room_of(p->in[0], p->in[1]);
    return room_bytes(p->ctx, &m, &p->scratch_bytes);
}

typedef struct job {
    const sqz_call *c;
    room m;
} job;

/* About the mean: what is subtracted before squares are summed up, so that they stay small. */
static sqz_status guess(const room *m, const sqz_batch_norm_train_attrs *a, const float *x)
{
    const size_t step = SQZ_MAX(m->rows / LINES, (size_t)1), n = SQZ_MIN(m->rows, (size_t)LINES);
    memset(m->part, 0, m->n * sizeof *m->part);
    for (size_t r = 0; r < n; r++)
        for (size_t k = 0; k < m->n; k++)
            m->part[k] += (double)x[r * step * m->n + k];
    SQZ_TRY(share(a, m->part, m->n));
    for (size_t k = 0; k < m->n; k++)
        m->from[k] = (float)(m->part[k] / ((double)n * (a->team ? a->team->size : 1)));
    return SQZ_OK;
}

static sqz_status sums(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const room *m = &j->m;
    for (size_t i = begin; i < end; i++) {
        double *part = m->part + i * 2 * m->n;
        float *strip = m->strip + i * 2 * m->n;
        const size_t last = SQZ_MIN((i + 1) * m->lines, m->rows);
        memset(part, 0, 2 * m->n * sizeof *part);
        for (size_t r = i * m->lines; r < last; r += LINES) {
            j->c->ctx->kernels->moments_f32(SQZ_MIN(last - r, (size_t)LINES), m->n, m->n,
                                            SQZ_F32P(j->c->in[0]) + r * m->n, m->from, strip,
                                            strip + m->n);
            for (size_t k = 0; k < 2 * m->n; k++)
                part[k] += (double)strip[k];
        }
    }
    return SQZ_OK;
}

static sqz_status statistics(job *j)
{
    const room *m = &j->m;
    float *mean = SQZ_F32P(j->c->out[1]), *variance = SQZ_F32P(j->c->out[2]);
    const double rows = all_rows(m, j->c->attrs);
    SQZ_TRY(guess(m, j->c->attrs, SQZ_F32P(j->c->in[0])));
    SQZ_TRY(sqz_parallel(j->c->ctx, m->pieces, 1, sums, j));
    add_pieces(m);
    SQZ_TRY(share(j->c->attrs, m->part, 2 * m->n));
    for (size_t k = 0; k < m->n; k++) {
        const double d = m->part[k] / rows;
        const double v = m->part[m->n + k] / rows - d * d;
        mean[k] = (float)((double)m->from[k] + d);
        variance[k] = (float)(v < 0 ? 0 : v); /* a NaN stays */
    }
    return SQZ_OK;
}

static sqz_status normalize(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t from = begin * j->m.lines * j->m.n;
    sqz_bn p = kernel_of(&j->m, j->c->attrs);
    p.rows = SQZ_MIN(end * j->m.lines, j->m.rows) - begin * j->m.lines;
    j->c->ctx->kernels->bn_f32(&p, SQZ_F32P(j->c->in[0]) + from, SQZ_F32P(j->c->out[0]) + from);
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const sqz_batch_norm_train_attrs *a = c->attrs;
    job j = {c, room_of(c->in[0], c->in[1])};
    if (j.m.rows == 0)
        return sqz_fail(c->ctx, SQZ_E_SHAPE, "no elements to take statistics of");
    room_in(&j.m, c->scratch);
    if (!c->again)
        SQZ_TRY(statistics(&j));
    factors(&j.m, c->in, SQZ_F32P(c->out[1]), SQZ_F32P(c->out[2]), a->epsilon);
    return sqz_parallel(c->ctx, j.m.pieces, 1, normalize, &j);
}

/* ---- backward ---- */

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    const room m = room_of(p->in[0], p->in[1]);
    return room_bytes(p->ctx, &m, &p->scratch_bytes);
}

typedef struct back {
    const sqz_grad_call *c;
    const float *g; /* gradient of y */
    room m;
} back;

static sqz_status back_sums(void *arg, size_t begin, size_t end)
{
    const back *j = arg;
    const room *m = &j->m;
    sqz_bn p = kernel_of(m, j->c->attrs);
    for (size_t i = begin; i < end; i++) {
        double *part = m->part + i * 2 * m->n;
        float *strip = m->strip + i * 2 * m->n;
        const size_t last = SQZ_MIN((i + 1) * m->lines, m->rows);
        memset(part, 0, 2 * m->n * sizeof *part);
        for (size_t r = i * m->lines; r < last; r += LINES) {
            p.rows = SQZ_MIN(last - r, (size_t)LINES);
            j->c->ctx->kernels->bn_sum_f32(&p, SQZ_F32P(j->c->in[0]) + r * m->n, j->g + r * m->n,
                                           strip, strip + m->n);
            for (size_t k = 0; k < 2 * m->n; k++)
                part[k] += (double)strip[k];
        }
    }
    return SQZ_OK;
}

static sqz_status back_data(void *arg, size_t begin, size_t end)
{
    const back *j = arg;
    const size_t from = begin * j->m.lines * j->m.n;
    sqz_bn p = kernel_of(&j->m, j->c->attrs);
    p.rows = SQZ_MIN(end * j->m.lines, j->m.rows) - begin * j->m.lines;
    p.add = sqz_grad_adds(j->c, 0);
    j->c->ctx->kernels->bn_back_f32(&p, SQZ_F32P(j->c->in[0]) + from, j->g + from, j->m.slope,
                                    j->m.rest, j->c->in_grad[0] + from);
    return SQZ_OK;
}

static void give(const sqz_grad_call *c, unsigned k, size_t at, double v)
{
    if (sqz_grad_wants(c, k))
        c->in_grad[k][at] = (sqz_grad_adds(c, k) ? c->in_grad[k][at] : 0) + (float)v;
}

/* Gradients of scale and bias: of the own part of the batch, as those of other weights are. */
static void parameters(const back *j)
{
    const room *m = &j->m;
    const double epsilon = ((const sqz_batch_norm_train_attrs *)j->c->attrs)->epsilon;
    for (size_t k = 0; k < m->n; k++) {
        give(j->c, 1, k, m->part[m->n + k] / sqrt((double)SQZ_F32P(j->c->out[2])[k] + epsilon));
        give(j->c, 2, k, m->part[k]);
    }
}

/* How the sums, and gradients of the statistics, come into the gradient of x. */
static sqz_status slopes_of(const back *j)
{
    const sqz_grad_call *c = j->c;
    const sqz_batch_norm_train_attrs *a = c->attrs;
    const room *m = &j->m;
    const double n = all_rows(m, a);
    SQZ_TRY(share(a, m->part, 2 * m->n));
    for (size_t k = 0; k < m->n; k++) {
        const double v = (double)SQZ_F32P(c->out[2])[k] + a->epsilon, f = (double)m->factor[k];
        double g[2] = {c->out_grad[1] ? (double)c->out_grad[1][k] : 0,
                       c->out_grad[2] ? (double)c->out_grad[2][k] : 0};
        if (c->out_grad[1] || c->out_grad[2])
            SQZ_TRY(share(a, g, 2));
        m->rest[k] = (float)((g[0] - f * m->part[k]) / n);
        m->slope[k] = (float)((2 * g[1] - f * m->part[m->n + k] / v) / n);
    }
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    const sqz_batch_norm_train_attrs *a = c->attrs;
    back j = {c, c->out_grad[0], room_of(c->in[0], c->in[1])};
    if (sqz_grad_none(c) || j.m.rows == 0)
        return SQZ_OK;
    room_in(&j.m, c->scratch);
    factors(&j.m, c->in, SQZ_F32P(c->out[1]), SQZ_F32P(c->out[2]), a->epsilon);
    if (j.g) {
        SQZ_TRY(sqz_parallel(c->ctx, j.m.pieces, 1, back_sums, &j));
        add_pieces(&j.m);
    } else { /* only the statistics are used: any numbers, times 0 */
        j.g = SQZ_F32P(c->in[0]);
        memset(j.m.factor, 0, j.m.n * sizeof *j.m.factor);
        memset(j.m.part, 0, 2 * j.m.n * sizeof *j.m.part);
    }
    parameters(&j);
    SQZ_TRY(slopes_of(&j));
    return sqz_grad_wants(c, 0) ? sqz_parallel(c->ctx, j.m.pieces, 1, back_data, &j) : SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "",
     .n_in = 3,
     .in = {{4, {2, 3, 4, 5}}, {1, {5}}, {1, {5}}},
     .constant = 6,
     .lo = -1,
     .hi = 2},
    {.attrs = "epsilon=0.01 min=0",
     .n_in = 3,
     .in = {{4, {2, 5, 4, 19}}, {1, {19}}, {1, {19}}},
     .constant = 6,
     .lo = -1,
     .hi = 2},
    {.attrs = "min=-0.5 max=0.75",
     .n_in = 3,
     .in = {{2, {30, 6}}, {1, {6}}, {1, {6}}},
     .constant = 6,
     .lo = -1,
     .hi = 2},
};

const sqz_op sqz_op_batch_norm_train = {
    .info = {.name = "batch_norm_train",
             .doc = "normalization by the statistics of the batch per channel, in training",
             .opt_size = sizeof(sqz_batch_norm_train_attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 3,
    .n_in_max = 3,
    .n_out_min = 3,
    .n_out_max = 3,
    .layout = SQZ_L_CHANNELS,
    .infer = infer,
    .run = run,
    .cost = cost,
    .prepare = prepare,
    .grad = grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .quant = {.kind = SQZ_Q_FLOAT},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
