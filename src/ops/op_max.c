/* max: y = max(a, b), with broadcasting. */
#include "ops/ew.h"
#include "ops/grad.h"

/* A NaN of either input is the result. */
SQZ_FLOATS(SQZ_EW_ROW, row, a > b || isnan(a) ? a : b)
SQZ_WHOLES(SQZ_EW_ROW, row, a > b ? a : b)
static const sqz_rows rows = {.of = {SQZ_NUMBERS(SQZ_EW_OF, row)}, .fast = SQZ_BIN_max};
static sqz_status infer(sqz_infer *q) { return sqz_ew_infer2(q, &rows); }
static sqz_status run(const sqz_call *c) { return sqz_ew_run2(c, &rows); }
static sqz_status prepare(sqz_prep *p) { return sqz_need_same_grid(p); }
static sqz_status run_int(const sqz_call *c) { return sqz_ew_broadcast(c, row_S8, NULL); }
static sqz_status part(const sqz_call *c, size_t begin, size_t end)
{
    return sqz_ew_part2(c, &rows, begin, end); /* codes too: they are of type int8 */
}

SQZ_EW_GRAD2(a > b ? 1 : 0, a > b ? 0 : 1)

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

const sqz_op sqz_op_max = {
    .info = {.name = "max", .doc = "elementwise maximum"},
    SQZ_EW_BINARY,
    .prepare = prepare,
    .run_int = run_int,
    .part = part,
    SQZ_EW_GRAD2_COLUMNS,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Max", .since = 1, .import = sqz_ew_chain},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
