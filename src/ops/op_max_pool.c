/* max_pool: the largest element under each window, (N,H,W,C); also (N,W,C) and (N,D,H,W,C). */
#include "ops/pool.h"
#include "ops/ties.h"

extern const sqz_op sqz_op_max_pool_indices;

static const sqz_attr schema[] = {SQZ_POOL_ROWS};

static const sqz_case cases[] = {
    {.attrs = "kernel_shape=2,2 strides=2,2", .n_in = 1, .in = {{4, {2, 6, 5, 4}}}},
    {.attrs = "kernel_shape=3,3 strides=2,2 pads=1,1,1,1 ceil_mode=1",
     .n_in = 1,
     .in = {{4, {1, 6, 7, 3}}}},
    {.attrs = "kernel_shape=2,3 dilations=2,1", .n_in = 1, .in = {{4, {2, 5, 5, 2}}}},
    {.attrs = "kernel_shape=3 strides=2 pads=1,0", .n_in = 1, .in = {{3, {2, 8, 3}}}},
    {.attrs = "kernel_shape=2,3,2 strides=2,1,2 pads=1,1,0,0,1,1 ceil_mode=1",
     .n_in = 1,
     .in = {{5, {1, 4, 4, 5, 3}}}},
    {.attrs = "kernel_shape=2,2 pads=1,0,0,1", /* bytes that are plain numbers */
     .n_in = 1,
     .in = {{4, {1, 4, 5, 3}}},
     .lo = 0,
     .hi = 255,
     .dtype = {SQZ_U8}},
};

/* Who wants the indices gets an operator of its own, which has no integer form. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    bool indices = im->n_out > 1 && im->out_name[1];
    return sqz_pool_import(im, indices ? &sqz_op_max_pool_indices : op);
}

const sqz_op sqz_op_max_pool = {
    .info = {.name = "max_pool",
             .doc = "largest element under each window",
             .opt_size = sizeof(sqz_pool_attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .layout = SQZ_L_CHANNELS,
    .infer = sqz_pool_infer_max,
    .run = sqz_pool_run_max,
    .cost = sqz_pool_cost,
    .prepare = sqz_pool_prepare_max,
    .run_int = sqz_pool_run_max,
    .grad = sqz_pool_grad_max,
    .grad_prepare = sqz_pool_grad_prepare,
    .grad_reads = SQZ_GRAD_IN0,
    .ties = sqz_ties_channels,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "MaxPool", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
