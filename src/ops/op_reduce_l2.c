/* reduce_l2: the root of the sum of squares over some axes. */
#include "ops/reduce.h"

static const sqz_attr schema[] = {SQZ_REDUCE_ROWS(18)};

SQZ_REDUCE_FOLD(fold, a + v * v)
static double finish(double acc, double n)
{
    (void)n;
    return sqrt(acc);
}
static const sqz_reducer reducer = {.fold = fold, .finish = finish};

static sqz_status infer(sqz_infer *q) { return sqz_reduce_infer(q, &reducer); }
static sqz_status run(const sqz_call *c) { return sqz_reduce_run(c, &reducer); }

static const sqz_case cases[] = {
    {.attrs = "axes=1,2", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "axes=-1 keepdims=0", .n_in = 1, .in = {{3, {2, 3, 5}}}},
    {.attrs = "axes=0,2 keepdims=0", .n_in = 1, .in = {{4, {2, 3, 2, 3}}}},
    {.attrs = "", .n_in = 1, .in = {{2, {3, 5}}}},
};

const sqz_op sqz_op_reduce_l2 = {
    SQZ_REDUCE_INFO("reduce_l2", "root of the sum of squares over axes"),
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "ReduceL2", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
