/* or: y = a or b, of bool, with broadcasting. */
#include "ops/ew.h"

SQZ_EW_TEST(BOOL, row, a || b)
static const sqz_rows rows = {.of = {SQZ_EW_OF(BOOL, row)}};
static sqz_status infer(sqz_infer *q) { return sqz_ew_infer2(q, &rows); }
static sqz_status run(const sqz_call *c) { return sqz_ew_run2(c, &rows); }

static const sqz_case cases[] = {
    {.attrs = "",
     .n_in = 2,
     .in = {{2, {3, 4}}, {1, {4}}},
     .lo = 0,
     .hi = 1,
     .dtype = {SQZ_BOOL, SQZ_BOOL}},
    {.attrs = "",
     .n_in = 2,
     .in = {{4, {2, 3, 3, 4}}, {4, {2, 3, 3, 4}}},
     .lo = 0,
     .hi = 1,
     .dtype = {SQZ_BOOL, SQZ_BOOL}},
};

const sqz_op sqz_op_or = {
    .info = {.name = "or", .doc = "logical or"},
    SQZ_EW_BINARY,
    .no_grad = "its results are true or false",
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Or", .since = 1, .import = sqz_ew_import2},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
