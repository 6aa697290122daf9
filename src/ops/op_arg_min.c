/* arg_min: the index of the smallest element along an axis. */
#include "ops/arg.h"

SQZ_FLOATS(SQZ_ARG_FIND, find, a < b || (isnan(a) && !isnan(b)))
SQZ_WHOLES(SQZ_ARG_FIND, find, a < b)
static const sqz_arg_table table = {{SQZ_NUMBERS(SQZ_EW_OF, find)}};
static sqz_status run(const sqz_call *c) { return sqz_arg_run(c, &table); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{2, {3, 5}}}},
    {.attrs = "axis=-1", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "axis=1 keepdims=0", .n_in = 1, .in = {{3, {2, 5, 3}}}},
    {.attrs = "select_last_index=1",
     .n_in = 1,
     .in = {{3, {4, 2, 3}}},
     .lo = 1,
     .hi = 3,
     .dtype = {SQZ_S64}},
};

const sqz_op sqz_op_arg_min = {
    SQZ_ARG_COLUMNS("arg_min", "index of the smallest element along an axis"),
    .no_grad = "its results are indices",
    .onnx = {.op_type = "ArgMin", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
