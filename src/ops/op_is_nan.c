/* is_nan: y = whether x is NaN. */
#include "ops/ew.h"
#include "ops/ties.h"

#define TEST(type, name, ...) SQZ_EW_MAP_TO(type, uint8_t, name, , __VA_ARGS__)
SQZ_FLOATS(TEST, map, isnan(v) != 0)
static const sqz_ew_maps maps = {.of = {SQZ_FLOATS(SQZ_EW_OF, map)}};
static sqz_status infer(sqz_infer *q)
{
    q->out_dtype[0] = SQZ_BOOL;
    return sqz_ew_infer(q, &maps);
}
static sqz_status run(const sqz_call *c) { return sqz_ew_run(c, &maps); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{3, {2, 3, 5}}}},
};

const sqz_op sqz_op_is_nan = {
    .info = {.name = "is_nan", .doc = "whether x is not a number"},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_ELEMENTWISE | SQZ_T_UNARY | SQZ_T_F64,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .ties = sqz_ties_elementwise,
    .no_grad = "its results are true or false",
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "IsNaN", .since = 9},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
