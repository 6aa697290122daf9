/* reduce_log_sum_exp: top + ln(sum(e^(x - top))) over some axes, top the largest so far, which
 * keeps the sum (the second accumulator) within reach. */
#include "ops/grad.h"
#include "ops/reduce.h"

static void take(double *top, double *sum, double v)
{
    if (v == *top) { /* two infinities have no difference */
        *sum += 1;
    } else if (v < *top) {
        *sum += exp(v - *top);
    } else { /* NaN too */
        *sum = *sum * exp(*top - v) + 1;
        *top = v;
    }
}
static void real(void *acc, size_t step, const void *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        take((double *)acc + i * step, (double *)acc + SQZ_REDUCE_BLOCK + i * step,
             ((const double *)x)[i]);
}
static double finish(double acc, double second, double n)
{
    (void)n;
    return isinf(acc) && !isnan(second) ? acc : acc + log(second);
}
static const sqz_reducer reducer = {.real = real, .start = -INFINITY, .finish = finish};
SQZ_REDUCE_FUNCTIONS

static double slope(double x, double y, const double s[2])
{
    (void)s;
    return exp(x - y);
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

const sqz_op sqz_op_reduce_log_sum_exp = {
    SQZ_REDUCE_INFO("reduce_log_sum_exp", "logarithm of the sum of exponentials over axes"),
    SQZ_REDUCE_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "ReduceLogSumExp", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
