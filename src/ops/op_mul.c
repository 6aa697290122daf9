/* mul: y = a * b, with broadcasting. */
#include "ops/ew.h"

/* integers wrap around */
SQZ_FLOATS(SQZ_EW_ROW, row, (a * b))
SQZ_WHOLES(SQZ_EW_ROW, row, ((uint64_t)a * (uint64_t)b))
static const sqz_rows rows = {.of = {SQZ_NUMBERS(SQZ_EW_OF, row)}, .fast = SQZ_BIN_mul};
static sqz_status infer(sqz_infer *q) { return sqz_ew_infer2(q, &rows); }
static sqz_status run(const sqz_call *c) { return sqz_ew_run2(c, &rows); }

static sqz_status run_int(const sqz_call *c)
{
    return sqz_ew_broadcast(c, sqz_ew_mul_row, c->state);
}
static sqz_status part(const sqz_call *c, size_t begin, size_t end)
{
    return c->state ? sqz_ew_broadcast_part(c, sqz_ew_mul_row, c->state, begin, end)
                    : sqz_ew_part2(c, &rows, begin, end);
}

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

const sqz_op sqz_op_mul = {
    .info = {.name = "mul", .doc = "a * b"},
    SQZ_EW_BINARY,
    .prepare = sqz_ew_mul_prepare,
    .run_int = run_int,
    .part = part,
    .quant = {.kind = SQZ_Q_REALIGN},
    .onnx = {.op_type = "Mul", .since = 1, .import = sqz_ew_import2},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
