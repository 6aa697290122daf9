/* reduce_max: the largest element over some axes; NaN when there is one; of bool, any. */
#include "ops/grad.h"
#include "ops/reduce.h"

SQZ_REDUCE_FOLD(real, double, v > a || isnan(v) ? v : a)
SQZ_REDUCE_FOLD(whole, int64_t, v > a ? v : a)
static const sqz_reducer reducer = {.real = real,
                                    .whole = whole,
                                    .start = -INFINITY,
                                    .start_whole = INT64_MIN,
                                    .order = true,
                                    .fast = SQZ_FOLD_max};
SQZ_REDUCE_FUNCTIONS

/* Equal ones share. */
static void collect(double s[2], double x, double y) { s[0] += x == y; }
static double slope(double x, double y, const double s[2]) { return x == y ? 1 / s[0] : 0; }
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

const sqz_op sqz_op_reduce_max = {
    SQZ_REDUCE_INFO("reduce_max", "largest element over axes"),
    SQZ_REDUCE_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "ReduceMax", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
