/* div: y = a / b, with broadcasting. */
#include "ops/ew.h"
#include "ops/grad.h"

/* Integers truncate toward zero; the one overflow, lowest / -1, wraps around. */
SQZ_FLOATS(SQZ_EW_ROW, row, a / b)
SQZ_SIGNED(SQZ_EW_ROW, row, b == -1 ? 0 - (uint64_t)a : (uint64_t)(a / b))
SQZ_UNSIGNED(SQZ_EW_ROW, row, a / b)
static const sqz_rows rows = {.of = {SQZ_NUMBERS(SQZ_EW_OF, row)}, .fast = SQZ_BIN_div};
static sqz_status infer(sqz_infer *q) { return sqz_ew_infer2(q, &rows); }

static sqz_status part(const sqz_call *c, size_t begin, size_t end)
{
    SQZ_TRY(sqz_ew_no_zero(c)); /* of floats: nothing to do */
    return sqz_ew_part2(c, &rows, begin, end);
}

static sqz_status run(const sqz_call *c)
{
    SQZ_TRY(sqz_ew_no_zero(c));
    return sqz_ew_run2(c, &rows);
}

SQZ_EW_GRAD2(1 / b, -a / (b * b))

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 2, .in = {{4, {2, 3, 3, 4}}, {4, {2, 3, 3, 4}}}, .lo = 0.5, .hi = 2},
    {.attrs = "", .n_in = 2, .in = {{4, {2, 3, 3, 4}}, {1, {4}}}, .lo = 0.5, .hi = 2},
    {.attrs = "", .n_in = 2, .in = {{2, {3, 1}}, {3, {2, 1, 5}}}, .lo = 0.5, .hi = 2},
    {.attrs = "", .n_in = 2, .in = {{3, {2, 3, 4}}, {0}}, .constant = 2, .lo = 0.5, .hi = 2},
    {.attrs = "",
     .n_in = 2,
     .in = {{2, {3, 4}}, {1, {4}}},
     .lo = 1,
     .hi = 9,
     .dtype = {SQZ_S64, SQZ_S64}},
};

const sqz_op sqz_op_div = {
    .info = {.name = "div", .doc = "a / b"},
    SQZ_EW_BINARY,
    .part = part,
    SQZ_EW_GRAD2_COLUMNS,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Div", .since = 1, .import = sqz_ew_import2},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
