/* reduce_mean: the mean over some axes; of integers, truncated. */
#include "ops/reduce.h"

SQZ_REDUCE_FOLD(real, double, a + v)
SQZ_REDUCE_FOLD(whole, int64_t, (uint64_t)a + (uint64_t)v)
static double finish(double acc, double second, double n)
{
    (void)second;
    return acc / n;
}
static const sqz_reducer reducer = {
    .real = real, .whole = whole, .finish = finish, .fast = SQZ_FOLD_sum, .means = true};
SQZ_REDUCE_FUNCTIONS

static const sqz_case cases[] = {
    {.attrs = "axes=1,2", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "axes=-1 keepdims=0", .n_in = 1, .in = {{3, {2, 3, 5}}}},
    {.attrs = "axes=0,2 keepdims=0", .n_in = 1, .in = {{4, {2, 3, 2, 3}}}},
    {.attrs = "", .n_in = 1, .in = {{2, {3, 5}}}},
    {.attrs = "axes=0 keepdims=0",
     .n_in = 1,
     .in = {{1, {4}}},
     .lo = 1,
     .hi = 9,
     .dtype = {SQZ_S64}},
};

const sqz_op sqz_op_reduce_mean = {
    SQZ_REDUCE_INFO("reduce_mean", "mean over axes"),
    .prepare = sqz_reduce_mean_prepare,
    .run_int = sqz_reduce_mean_int,
    .grad = sqz_reduce_grad_mean,
    .quant = {.kind = SQZ_Q_REALIGN},
    .onnx = {.op_type = "ReduceMean", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
