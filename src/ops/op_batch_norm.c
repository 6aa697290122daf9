/* batch_norm: y = (x - mean) / sqrt(variance + epsilon) * scale + bias, each per channel; the
 * inference form. */
#include "ops/batch_norm.h"
#include "ops/build.h"
#include "ops/grad.h"
#include "ops/linear.h"
#include "ops/ties.h"
#include <math.h>

static const sqz_attr attrs[] = {
    {.name = "epsilon",
     .offset = offsetof(sqz_batch_norm_attrs, epsilon),
     .type = SQZ_A_FLOAT,
     .def = 1e-5f,
     .min = 0,
     .max = 1,
     .doc = "added to the variance"},
    {.name = "momentum",
     .offset = offsetof(sqz_batch_norm_attrs, momentum),
     .type = SQZ_A_FLOAT,
     .def = 0.9f,
     .min = 0,
     .max = 1,
     .doc = "of the running statistics in training; has no effect here"},
};

static sqz_status infer(sqz_infer *q)
{
    const sqz_value *x = q->in[0];
    SQZ_TRY(sqz_check_types(q));
    if (x->shape.rank < 2)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "an input of rank %d has no channels",
                        (int)x->shape.rank);
    int64_t c = x->shape.dim[sqz_axis_c(x)];
    for (unsigned i = 1; i < 5; i++)
        if (q->in[i]->shape.rank != 1 || q->in[i]->shape.dim[0] != c)
            return sqz_fail(q->ctx, SQZ_E_SHAPE,
                            "input %u must have one number for each of %lld channels", i,
                            (long long)c);
    q->out[0] = x->shape;
    return SQZ_OK;
}

static sqz_status prepare(sqz_prep *p)
{
    p->scratch_bytes = p->in[1]->count * sizeof(float); /* a factor per channel */
    return SQZ_OK;
}

static sqz_status chunk(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const size_t n = c->in[1]->count;
    const float *factor = c->scratch;
    c->ctx->kernels->affine_f32(end - begin, n, n, SQZ_F32P(c->in[0]) + begin * n,
                                SQZ_F32P(c->in[3]), factor, SQZ_F32P(c->in[2]),
                                SQZ_F32P(c->out[0]) + begin * n);
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const sqz_batch_norm_attrs *a = c->attrs;
    const float *scale = SQZ_F32P(c->in[1]), *variance = SQZ_F32P(c->in[4]);
    const size_t n = c->in[1]->count;
    float *factor = c->scratch;
    for (size_t k = 0; k < n; k++)
        factor[k] = (float)(scale[k] / sqrt(variance[k] + a->epsilon));
    sqz_call call = *c;
    return n ? sqz_parallel(c->ctx, c->out[0]->count / n, 16384 / n + 1, chunk, &call) : SQZ_OK;
}

static void cost(const sqz_infer *q, sqz_cost *out)
{
    out->kind = SQZ_COST_ELEMENTWISE;
    out->ops = 2;
    for (int32_t i = 0; i < q->out[0].rank; i++)
        out->ops *= (uint64_t)q->out[0].dim[i];
}

/* ---- import: what is no plain inference becomes arithmetic ---- */

/* Per-channel numbers in a shape that broadcasts to x: (C, 1, ...). */
static sqz_vid along_channels(sqz_build *b, sqz_vid v, int32_t rank)
{
    return sqz_bf(b, "reshape", &v, 1, "shape=-1%.*s", 2 * (rank - 2), ",1,1,1,1,1,1,1");
}

/* (x - mean) / sqrt(variance + epsilon) * scale + bias, all of which broadcast to x. */
static sqz_vid normalize(sqz_build *b, double epsilon, const sqz_vid *in)
{
    sqz_vid d = sqz_b(b, "sqrt", NULL, 1,
                      sqz_b(b, "add", NULL, 2, in[4], sqz_b_num(b, epsilon, in[4])));
    sqz_vid x = sqz_b(b, "div", NULL, 2, sqz_b(b, "sub", NULL, 2, in[0], in[3]), d);
    return sqz_b(b, "add", NULL, 2, sqz_b(b, "mul", NULL, 2, x, in[1]), in[2]);
}

/* old * momentum + new * (1 - momentum) */
static sqz_vid running(sqz_build *b, double momentum, sqz_vid old, sqz_vid now)
{
    now = sqz_b(b, "reshape", "shape=-1", 1, now);
    return sqz_b(b, "add", NULL, 2, sqz_b(b, "mul", NULL, 2, old, sqz_b_num(b, momentum, old)),
                 sqz_b(b, "mul", NULL, 2, now, sqz_b_num(b, 1 - momentum, now)));
}

/* Statistics of the batch, and running ones as further outputs. */
static sqz_status import_training(sqz_import *im, const sqz_batch_norm_attrs *a)
{
    sqz_build b = {.im = im};
    const int32_t rank = sqz_val(im->g, im->in[0])->shape.rank;
    const char *axes = ",2,3,4,5,6,7";
    sqz_vid x = im->in[0], out[3] = {SQZ_NONE, SQZ_NONE, SQZ_NONE};
    if (rank < 2)
        return sqz_fail(im->g->ctx, SQZ_E_SHAPE, "an input of rank %d has no channels", (int)rank);
    sqz_vid mean = sqz_bf(&b, "reduce_mean", &x, 1, "axes=0%.*s", 2 * (rank - 2), axes);
    sqz_vid d = sqz_b(&b, "sub", NULL, 2, x, mean), dd = sqz_b(&b, "mul", NULL, 2, d, d);
    sqz_vid variance = sqz_bf(&b, "reduce_mean", &dd, 1, "axes=0%.*s", 2 * (rank - 2), axes);
    const sqz_vid in[5] = {x, along_channels(&b, im->in[1], rank),
                           along_channels(&b, im->in[2], rank), mean, variance};
    out[0] = normalize(&b, a->epsilon, in);
    if (im->n_out > 1 && im->out_name[1])
        out[1] = running(&b, a->momentum, im->in[3], mean);
    if (im->n_out > 2 && im->out_name[2])
        out[2] = running(&b, a->momentum, im->in[4], variance);
    return sqz_b_end(&b, 3, out[0], out[1], out[2]);
}

/* The parameters broadcast to x as they are: numbers for every element of a sample, (C, H, W),
 * which opset 7 has; or x is a vector, N samples of one channel. */
static sqz_status import_plain(sqz_import *im, const sqz_batch_norm_attrs *a)
{
    sqz_build b = {.im = im};
    return sqz_b_end(&b, 1, normalize(&b, a->epsilon, im->in));
}

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    const sqz_raw_attr *e = sqz_import_attr(im, "epsilon"), *m = sqz_import_attr(im, "momentum");
    sqz_batch_norm_attrs a = {e ? (double)e->f : (double)1e-5f, m ? (double)m->f : (double)0.9f};
    if (im->n_in < 5)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "%u inputs, expected 5", im->n_in);
    for (unsigned i = 0; i < 5; i++)
        if (im->in[i] == SQZ_NONE)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "input %u is missing", i);
    if (sqz_import_int(im, "training_mode", 0))
        return import_training(im, &a);
    for (unsigned i = 1; i < im->n_out; i++)
        if (im->out_name[i])
            return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                            "output %u ('%s') exists in training only: export the model for "
                            "inference",
                            i, im->out_name[i]);
    if (sqz_val(im->g, im->in[0])->shape.rank == 1 ||
        (!sqz_import_int(im, "spatial", 1) && sqz_val(im->g, im->in[1])->shape.rank > 1))
        return import_plain(im, &a);
    return sqz_import_node(im, op, &a, im->in, 5);
}

static void ties(sqz_ties *t)
{
    sqz_ties_axes(t, 0, 0);
    for (unsigned k = 1; k < 5; k++)
        sqz_tie_same(t, SQZ_TIE_IN(k, 0), SQZ_TIE_OUT(0, sqz_axis_c(t->in[0])));
}

/* With f = 1 / sqrt(variance + epsilon) and d = x - mean, per channel: two sums, of g and of g d.
 */
typedef struct sums {
    const sqz_grad_call *c;
    double *g, *gd;
} sums;

static sqz_status sum_channels(void *arg, size_t begin, size_t end)
{
    const sums *s = arg;
    const size_t n = s->c->in[1]->count, rows = s->c->in[0]->count / n;
    const float *mean = SQZ_F32P(s->c->in[3]);
    for (size_t k = begin; k < end; k++)
        s->g[k] = s->gd[k] = 0;
    for (size_t r = 0; r < rows; r++) {
        const float *x = SQZ_F32P(s->c->in[0]) + r * n, *g = s->c->out_grad[0] + r * n;
        for (size_t k = begin; k < end; k++) {
            s->g[k] += (double)g[k];
            s->gd[k] += (double)g[k] * ((double)x[k] - (double)mean[k]);
        }
    }
    return SQZ_OK;
}

static double factor_of(const sqz_grad_call *c, size_t k)
{
    const sqz_batch_norm_attrs *a = c->attrs;
    return 1 / sqrt((double)SQZ_F32P(c->in[4])[k] + a->epsilon);
}

static sqz_status grad_rows(void *arg, size_t begin, size_t end)
{
    const sqz_grad_call *c = arg;
    const size_t n = c->in[1]->count;
    const float *factor = c->scratch;
    const bool add = sqz_grad_adds(c, 0);
    for (size_t r = begin; r < end; r++)
        for (size_t k = 0; k < n; k++) {
            const float one = c->out_grad[0][r * n + k] * factor[k];
            float *d = c->in_grad[0] + r * n + k;
            *d = add ? *d + one : one;
        }
    return SQZ_OK;
}

static void put_parameter(const sqz_grad_call *c, unsigned slot, size_t k, double v)
{
    if (sqz_grad_wants(c, slot))
        c->in_grad[slot][k] = (sqz_grad_adds(c, slot) ? c->in_grad[slot][k] : 0) + (float)v;
}

static sqz_status grad(const sqz_grad_call *c)
{
    const size_t n = c->in[1]->count;
    const float *scale = SQZ_F32P(c->in[1]);
    float *factor = c->scratch;
    sqz_grad_call call = *c;
    sums s = {c, (double *)c->scratch, (double *)c->scratch + n};
    bool parameters = false;
    if (sqz_grad_none(c) || c->in[0]->count == 0)
        return SQZ_OK;
    for (unsigned k = 1; k < 5; k++)
        parameters = parameters || sqz_grad_wants(c, k);
    if (parameters)
        SQZ_TRY(sqz_parallel(c->ctx, n, 16, sum_channels, &s));
    for (size_t k = 0; parameters && k < n; k++) {
        const double f = factor_of(c, k), by = (double)scale[k] * f;
        put_parameter(c, 1, k, s.gd[k] * f);
        put_parameter(c, 2, k, s.g[k]);
        put_parameter(c, 3, k, -by * s.g[k]);
        put_parameter(c, 4, k, -0.5 * by * f * f * s.gd[k]);
    }
    for (size_t k = 0; k < n; k++)
        factor[k] = (float)((double)scale[k] * factor_of(c, k));
    return sqz_grad_wants(c, 0)
               ? sqz_parallel(c->ctx, c->in[0]->count / n, 16384 / n + 1, grad_rows, &call)
               : SQZ_OK;
}

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    p->reads_in[0] = p->want & 0x1e; /* any parameter */
    p->scratch_bytes = 2 * p->in[1]->count * sizeof(double);
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "",
     .n_in = 5,
     .in = {{4, {2, 3, 4, 5}}, {1, {5}}, {1, {5}}, {1, {5}}, {1, {5}}},
     .constant = 30,
     .lo = 0.1,
     .hi = 2},
    {.attrs = "epsilon=0.01",
     .n_in = 5,
     .in = {{3, {2, 7, 3}}, {1, {3}}, {1, {3}}, {1, {3}}, {1, {3}}},
     .constant = 30,
     .lo = 0.1,
     .hi = 2},
    {.attrs = "",
     .n_in = 5,
     .in = {{2, {3, 6}}, {1, {6}}, {1, {6}}, {1, {6}}, {1, {6}}},
     .constant = 30,
     .lo = 0.1,
     .hi = 2},
};

const sqz_op sqz_op_batch_norm = {
    .info = {.name = "batch_norm",
             .doc = "normalization by stored statistics per channel",
             .opt_size = sizeof(sqz_batch_norm_attrs),
             .opts = attrs,
             .n_opts = SQZ_COUNT(attrs)},
    .n_in_min = 5,
    .n_in_max = 5,
    .n_out_min = 1,
    .n_out_max = 1,
    .layout = SQZ_L_CHANNELS,
    .infer = infer,
    .run = run,
    .cost = cost,
    .prepare = prepare,
    .ties = ties,
    .grad = grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "BatchNormalization", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
