/* average_pool: the mean of the elements under each window, (N,H,W,C); also (N,W,C) and
 * (N,D,H,W,C). */
#include "ops/pool.h"
#include "ops/ties.h"

static const sqz_attr schema[] = {
    SQZ_POOL_ROWS,
    {.name = "count_include_pad",
     .offset = offsetof(sqz_pool_attrs, count_include_pad),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "padding counts as elements of value 0"},
};

static const sqz_case cases[] = {
    {.attrs = "kernel_shape=2,2 strides=2,2", .n_in = 1, .in = {{4, {2, 6, 5, 4}}}},
    {.attrs = "kernel_shape=3,3 strides=2,2 pads=1,1,1,1", .n_in = 1, .in = {{4, {1, 6, 7, 3}}}},
    {.attrs = "kernel_shape=3,3 strides=2,2 pads=1,1,1,1 ceil_mode=1 count_include_pad=1",
     .n_in = 1,
     .in = {{4, {1, 6, 7, 3}}}},
    {.attrs = "kernel_shape=3 strides=2 pads=1,0", .n_in = 1, .in = {{3, {2, 8, 3}}}},
    {.attrs = "kernel_shape=2,3,2 strides=2,1,2 pads=1,1,0,0,1,1 dilations=1,1,2 ceil_mode=1 "
              "count_include_pad=1",
     .n_in = 1,
     .in = {{5, {1, 4, 4, 5, 3}}}},
};

const sqz_op sqz_op_average_pool = {
    .info = {.name = "average_pool",
             .doc = "mean of the elements under each window",
             .opt_size = sizeof(sqz_pool_attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .layout = SQZ_L_CHANNELS,
    .infer = sqz_pool_infer,
    .run = sqz_pool_run_average,
    .cost = sqz_pool_cost,
    .prepare = sqz_pool_prepare_average,
    .run_int = sqz_pool_run_average,
    .grad = sqz_pool_grad_average,
    .grad_prepare = sqz_pool_grad_prepare,
    .ties = sqz_ties_channels,
    .quant = {.kind = SQZ_Q_REALIGN},
    .onnx = {.op_type = "AveragePool", .since = 1, .import = sqz_pool_import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
