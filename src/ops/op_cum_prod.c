/* cum_prod: the products of the elements so far along an axis. */
#include "ops/cum.h"

SQZ_FLOATS(SQZ_CUM_SCAN, scan, double, 1, (s * v))
SQZ_WHOLES(SQZ_CUM_SCAN, scan, uint64_t, 1, (s * v))
static const sqz_cum_table table = {{SQZ_NUMBERS(SQZ_EW_OF, scan)}};
static sqz_status run(const sqz_call *c) { return sqz_cum_run(c, &table); }

static const sqz_case cases[] = {
    {.attrs = "axis=1", .n_in = 1, .in = {{3, {2, 5, 3}}}},
    {.attrs = "axis=-1 reverse=1", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "axis=0 exclusive=1",
     .n_in = 1,
     .in = {{2, {4, 3}}},
     .lo = -9,
     .hi = 9,
     .dtype = {SQZ_S64}},
};

const sqz_op sqz_op_cum_prod = {
    SQZ_CUM_COLUMNS("cum_prod", "products of the elements so far along an axis"),
    .onnx = {.op_type = "CumProd", .since = 26},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
