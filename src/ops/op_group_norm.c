/* group_norm: y = (x - mean) / sqrt(variance + epsilon) * scale + bias, statistics of each group of
 * channels of each sample (Wu & He 2018); scale and bias for each channel, as opset 21 has them.
 * lower_group_norm.c reads opset 18, where they belong to groups. */
#include "ops/grad.h"
#include "ops/norm.h"
#include "ops/ties.h"

typedef struct attrs {
    int64_t num_groups;
    double epsilon;
    int64_t stash_type;
} attrs;
static const sqz_attr schema[] = {
    {.name = "num_groups",
     .offset = offsetof(attrs, num_groups),
     .type = SQZ_A_INT,
     .min = 1,
     .max = INT32_MAX,
     .def = 1,
     .flags = SQZ_AF_REQUIRED,
     .doc = "groups of channels, side by side"},
    {.name = "epsilon",
     .offset = offsetof(attrs, epsilon),
     .type = SQZ_A_FLOAT,
     .def = 1e-5f,
     .min = 0,
     .max = 1e30,
     .doc = "added to the variance"},
    {.name = "stash_type",
     .offset = offsetof(attrs, stash_type),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 1,
     .max = 16,
     .doc = "ONNX number of the float type of the statistics; has no effect here"},
};

static sqz_status infer(sqz_infer *q)
{
    const int64_t groups = ((const attrs *)q->attrs)->num_groups;
    SQZ_TRY(sqz_group_norm_infer(q));
    const int64_t c = q->in[1]->shape.dim[0];
    if (c % groups != 0)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "%lld channels are no multiple of %lld groups",
                        (long long)c, (long long)groups);
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const attrs *at = c->attrs;
    return sqz_group_norm_run(c, (size_t)at->num_groups, at->epsilon);
}

static void ties(sqz_ties *t) { sqz_group_norm_ties(t, ((const attrs *)t->attrs)->num_groups); }

static sqz_status grad(const sqz_grad_call *c)
{
    return sqz_group_norm_grad(c, (size_t)((const attrs *)c->attrs)->num_groups,
                               ((const attrs *)c->attrs)->epsilon);
}

static const sqz_case cases[] = {
    {.attrs = "num_groups=2",
     .n_in = 3,
     .in = {{4, {2, 3, 4, 6}}, {1, {6}}, {1, {6}}},
     .constant = 6},
    {.attrs = "num_groups=1 epsilon=0.01",
     .n_in = 3,
     .in = {{3, {2, 7, 3}}, {1, {3}}, {1, {3}}},
     .constant = 6},
};

const sqz_op sqz_op_group_norm = {
    .info = {.name = "group_norm",
             .doc = "normalization of each group of channels of each sample",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 3,
    .n_in_max = 3,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_IN_PLACE,
    .layout = SQZ_L_CHANNELS,
    .infer = infer,
    .run = run,
    .cost = sqz_group_norm_cost,
    .prepare = sqz_group_norm_prepare,
    .ties = ties,
    .grad = grad,
    .grad_prepare = sqz_group_norm_grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "GroupNormalization", .since = 21},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
