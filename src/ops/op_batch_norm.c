/* batch_norm: y = (x - mean) / sqrt(variance + epsilon) * scale + bias, each per channel; the
 * inference form. */
#include "ops/batch_norm.h"
#include "ops/linear.h"
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
    p->scratch_bytes = 2 * p->in[1]->count * sizeof(float); /* a factor and a sum per channel */
    return SQZ_OK;
}

static sqz_status chunk(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    size_t n = c->in[1]->count;
    const float *factor = c->scratch, *sum = factor + n;
    for (size_t i = begin; i < end; i++) {
        const float *x = SQZ_F32P(c->in[0]) + i * n;
        float *y = SQZ_F32P(c->out[0]) + i * n;
        for (size_t k = 0; k < n; k++)
            y[k] = x[k] * factor[k] + sum[k];
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const sqz_batch_norm_attrs *a = c->attrs;
    const float *scale = SQZ_F32P(c->in[1]), *bias = SQZ_F32P(c->in[2]);
    const float *mean = SQZ_F32P(c->in[3]), *variance = SQZ_F32P(c->in[4]);
    size_t n = c->in[1]->count;
    float *factor = c->scratch, *sum = factor + n;
    for (size_t k = 0; k < n; k++) {
        double f = scale[k] / sqrt(variance[k] + a->epsilon);
        factor[k] = (float)f;
        sum[k] = (float)(bias[k] - mean[k] * f);
    }
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

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    const sqz_raw_attr *e = sqz_import_attr(im, "epsilon"), *m = sqz_import_attr(im, "momentum");
    sqz_batch_norm_attrs a = {e ? (double)e->f : (double)1e-5f, m ? (double)m->f : (double)0.9f};
    if (sqz_import_int(im, "training_mode", 0))
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                        "training_mode is 1: export the model for inference");
    if (!sqz_import_int(im, "spatial", 1))
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                        "spatial is 0: statistics per element, only per channel is supported");
    for (unsigned i = 1; i < im->n_out; i++)
        if (im->out_name[i])
            return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED,
                            "output %u ('%s') exists in training only", i, im->out_name[i]);
    return sqz_import_node(im, op, &a, im->in, im->n_in);
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
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "BatchNormalization", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
