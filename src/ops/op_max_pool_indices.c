/* max_pool_indices: the largest element under each window, (N,H,W,C), and its index in the tensor
 * of the file, (N,C,H,W) flattened; with storage_order 1 the spatial axes of a channel count the
 * other way around (column by column). Of equal elements the first one. Read by max_pool. */
#include "ops/pool.h"

static const sqz_attr schema[] = {
    SQZ_POOL_ROWS,
    {.name = "storage_order",
     .offset = offsetof(sqz_pool_attrs, storage_order),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "indices go down the columns"},
};

static const sqz_case cases[] = {
    {.attrs = "kernel_shape=2,2 strides=2,2", .n_in = 1, .in = {{4, {2, 6, 5, 4}}}},
    {.attrs = "kernel_shape=3,3 strides=2,2 pads=1,1,1,1 ceil_mode=1 storage_order=1",
     .n_in = 1,
     .in = {{4, {1, 6, 7, 3}}}},
    {.attrs = "kernel_shape=2,2,2 dilations=1,2,1", .n_in = 1, .in = {{5, {1, 3, 4, 3, 2}}}},
    {.attrs = "kernel_shape=3 pads=1,1",
     .n_in = 1,
     .in = {{3, {1, 6, 3}}},
     .lo = -128,
     .hi = 127,
     .dtype = {SQZ_S8}},
};

const sqz_op sqz_op_max_pool_indices = {
    .info = {.name = "max_pool_indices",
             .doc = "largest element under each window and where it is",
             .opt_size = sizeof(sqz_pool_attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 2,
    .n_out_max = 2,
    .layout = SQZ_L_CHANNELS,
    .infer = sqz_pool_infer_max,
    .run = sqz_pool_run_max,
    .cost = sqz_pool_cost,
    .prepare = sqz_pool_prepare,
    .grad = sqz_pool_grad_max,
    .grad_prepare = sqz_pool_grad_prepare,
    .grad_reads = SQZ_GRAD_IN0,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "MaxPool", .since = UINT8_MAX}, /* read by max_pool */
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
