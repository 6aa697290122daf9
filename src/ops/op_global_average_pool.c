/* global_average_pool: the mean of the elements of each channel, (N,...,C) -> (N,1,...,1,C). */
#include "ops/pool.h"
#include "ops/ties.h"

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 5, 4}}}},
    {.attrs = "", .n_in = 1, .in = {{3, {2, 7, 3}}}},
};

const sqz_op sqz_op_global_average_pool = {
    .info = {.name = "global_average_pool", .doc = "mean of the elements of each channel"},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .layout = SQZ_L_CHANNELS,
    .infer = sqz_pool_infer_global,
    .run = sqz_pool_run_average,
    .cost = sqz_pool_cost,
    .prepare = sqz_pool_prepare_average,
    .run_int = sqz_pool_run_average,
    .grad = sqz_pool_grad_average,
    .grad_prepare = sqz_pool_grad_prepare,
    .ties = sqz_ties_channels,
    .quant = {.kind = SQZ_Q_REALIGN},
    .onnx = {.op_type = "GlobalAveragePool", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
