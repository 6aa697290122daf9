/* instance_norm: y = (x - mean) / sqrt(variance + epsilon) * scale + bias, statistics of each
 * channel of each sample (Ulyanov et al. 2016). */
#include "ops/grad.h"
#include "ops/norm.h"
#include "ops/ties.h"

typedef struct attrs {
    double epsilon;
} attrs;
static const sqz_attr schema[] = {{.name = "epsilon",
                                   .offset = offsetof(attrs, epsilon),
                                   .type = SQZ_A_FLOAT,
                                   .def = 1e-5f,
                                   .min = 0,
                                   .max = 1e30,
                                   .doc = "added to the variance"}};

static sqz_status run(const sqz_call *c)
{
    return sqz_group_norm_run(c, c->in[1]->count, ((const attrs *)c->attrs)->epsilon);
}

/* Opset 1 may say which inputs are overwritten: nothing to us. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    const sqz_raw_attr *e = sqz_import_attr(im, "epsilon");
    const attrs at = {e ? (double)e->f : (double)1e-5f};
    return sqz_import_node(im, op, &at, im->in, im->n_in);
}

static void ties(sqz_ties *t) { sqz_group_norm_ties(t, 0); }

static sqz_status grad(const sqz_grad_call *c)
{
    return sqz_group_norm_grad(c, c->in[1]->count, ((const attrs *)c->attrs)->epsilon);
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 3, .in = {{4, {2, 3, 4, 5}}, {1, {5}}, {1, {5}}}, .constant = 6},
    {.attrs = "epsilon=0.01", .n_in = 3, .in = {{3, {2, 7, 3}}, {1, {3}}, {1, {3}}}, .constant = 6},
};

const sqz_op sqz_op_instance_norm = {
    .info = {.name = "instance_norm",
             .doc = "normalization of each channel of each sample",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 3,
    .n_in_max = 3,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_IN_PLACE,
    .layout = SQZ_L_CHANNELS,
    .infer = sqz_group_norm_infer,
    .run = run,
    .cost = sqz_group_norm_cost,
    .prepare = sqz_group_norm_prepare,
    .ties = ties,
    .grad = grad,
    .grad_prepare = sqz_group_norm_grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "InstanceNormalization", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
