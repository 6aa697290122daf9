/* reduce_prod: the product over some axes. */
#include "ops/grad.h"
#include "ops/reduce.h"

SQZ_REDUCE_FOLD(real, double, (v * a))
SQZ_REDUCE_FOLD(whole, int64_t, ((uint64_t)v * (uint64_t)a))
static const sqz_reducer reducer = {.real = real, .whole = whole, .start = 1, .start_whole = 1};
SQZ_REDUCE_FUNCTIONS

/* The product of the others: s is the product less 1 of all that are not 0, and how many are. */
static void collect(double s[2], double x, double y)
{
    (void)y;
    s[0] = (s[0] + 1) * (x == 0 ? 1 : x) - 1;
    s[1] += x == 0;
}
static double slope(double x, double y, const double s[2])
{
    (void)y;
    const double others = s[1] - (x == 0); /* zeros among them */
    return others > 0 ? 0 : (s[0] + 1) / (x == 0 ? 1 : x);
}
SQZ_REDUCE_GRAD(collect, slope)

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

const sqz_op sqz_op_reduce_prod = {
    SQZ_REDUCE_INFO("reduce_prod", "product over axes"),
    SQZ_REDUCE_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "ReduceProd", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
