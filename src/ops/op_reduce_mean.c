/* reduce_mean: the mean over some axes. */
#include "ops/reduce.h"

static const sqz_attr schema[] = {SQZ_REDUCE_ROWS(18)};

SQZ_REDUCE_FOLD(fold, a + v)
static double finish(double acc, double n) { return acc / n; }
static const sqz_reducer reducer = {.fold = fold, .finish = finish};

static sqz_status infer(sqz_infer *q) { return sqz_reduce_infer(q, &reducer); }
static sqz_status run(const sqz_call *c) { return sqz_reduce_run(c, &reducer); }

static const sqz_case cases[] = {
    {.attrs = "axes=1,2", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "axes=-1 keepdims=0", .n_in = 1, .in = {{3, {2, 3, 5}}}},
    {.attrs = "axes=0,2 keepdims=0", .n_in = 1, .in = {{4, {2, 3, 2, 3}}}},
    {.attrs = "", .n_in = 1, .in = {{2, {3, 5}}}},
};

const sqz_op sqz_op_reduce_mean = {
    SQZ_REDUCE_INFO("reduce_mean", "mean over axes"),
    .prepare = sqz_reduce_mean_prepare,
    .run_int = sqz_reduce_mean_int,
    .quant = {.kind = SQZ_Q_REALIGN},
    .onnx = {.op_type = "ReduceMean", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
