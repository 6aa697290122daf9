/* div: y = a / b, with broadcasting. */
#include "ops/ew.h"

/* Integers truncate toward zero; the one overflow, lowest / -1, wraps around. */
SQZ_EW_ROW(f32, float, a / b)
SQZ_EW_ROW(s32, int32_t, b == -1 ? 0u - (uint32_t)a : (uint32_t)(a / b))
SQZ_EW_ROW(s64, int64_t, b == -1 ? 0u - (uint64_t)a : (uint64_t)(a / b))
static const sqz_rows rows = {f32, s32, s64};
static sqz_status infer(sqz_infer *q) { return sqz_ew_infer2(q, &rows); }

static sqz_status run(const sqz_call *c)
{
    const sqz_tensor *b = c->in[1];
    if (b->dtype != SQZ_F32)
        for (size_t i = 0; i < b->count; i++)
            if (sqz_tensor_i64(b, i) == 0)
                return sqz_fail(c->ctx, SQZ_E_ARG, "division of integers by zero at element %zu",
                                i);
    return sqz_ew_run2(c, &rows);
}

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
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Div", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
