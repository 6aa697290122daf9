/* reduce_l1: the sum of magnitudes over some axes. */
#include "ops/grad.h"
#include "ops/reduce.h"

SQZ_REDUCE_FOLD(real, double, a + fabs(v))
SQZ_REDUCE_FOLD(whole, int64_t, (uint64_t)a + (v < 0 ? 0 - (uint64_t)v : (uint64_t)v))
SQZ_REDUCE_FOLD(natural, int64_t, (uint64_t)a + (uint64_t)v)
static const sqz_reducer reducer = {
    .real = real, .whole = whole, .natural = natural, .fast = SQZ_FOLD_abs, .sums = true};
SQZ_REDUCE_FUNCTIONS

static double slope(double x, double y, const double s[2])
{
    (void)y;
    (void)s;
    return (x > 0) - (x < 0);
}
SQZ_REDUCE_GRAD(NULL, slope)

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

const sqz_op sqz_op_reduce_l1 = {
    SQZ_REDUCE_INFO("reduce_l1", "sum of magnitudes over axes"),
    SQZ_REDUCE_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "ReduceL1", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
