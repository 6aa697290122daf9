/* bitwise_and: y = a & b, of integers, with broadcasting. */
#include "ops/ew.h"

SQZ_WHOLES(SQZ_EW_ROW, row, (a & b))
static const sqz_rows rows = {.of = {SQZ_WHOLES(SQZ_EW_OF, row)}};
static sqz_status infer(sqz_infer *q) { return sqz_ew_infer2(q, &rows); }
static sqz_status run(const sqz_call *c) { return sqz_ew_run2(c, &rows); }

static const sqz_case cases[] = {
    {.attrs = "",
     .n_in = 2,
     .in = {{2, {3, 4}}, {1, {4}}},
     .lo = -9,
     .hi = 9,
     .dtype = {SQZ_S32, SQZ_S32}},
    {.attrs = "",
     .n_in = 2,
     .in = {{3, {2, 3, 4}}, {3, {2, 1, 1}}},
     .lo = 1,
     .hi = 100,
     .dtype = {SQZ_U8, SQZ_U8}},
};

const sqz_op sqz_op_bitwise_and = {
    .info = {.name = "bitwise_and", .doc = "a & b, bit by bit"},
    SQZ_EW_BINARY,
    .no_grad = "it works on the bits of integers",
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "BitwiseAnd", .since = 18},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
