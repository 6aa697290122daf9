/* less_or_equal: y = a <= b, with broadcasting. */
#include "ops/ew.h"

SQZ_NUMBERS(SQZ_EW_TEST, row, a <= b)
static const sqz_rows rows = {.of = {SQZ_NUMBERS(SQZ_EW_OF, row)}};
SQZ_EW_COMPARE_FUNCTIONS

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 2, .in = {{4, {2, 3, 3, 4}}, {4, {2, 3, 3, 4}}}},
    {.attrs = "", .n_in = 2, .in = {{4, {2, 3, 3, 4}}, {1, {4}}}},
    {.attrs = "", .n_in = 2, .in = {{2, {3, 1}}, {3, {2, 1, 5}}}},
    {.attrs = "", .n_in = 2, .in = {{3, {2, 3, 4}}, {0}}, .constant = 2},
    {.attrs = "",
     .n_in = 2,
     .in = {{2, {3, 4}}, {1, {4}}},
     .lo = 1,
     .hi = 9,
     .dtype = {SQZ_S64, SQZ_S64}},
};

const sqz_op sqz_op_less_or_equal = {
    .info = {.name = "less_or_equal", .doc = "whether a <= b"},
    SQZ_EW_COMPARE,
    .no_grad = "its results are true or false",
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "LessOrEqual", .since = 12, .import = sqz_ew_import2},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
