/* bitwise_not: y = ~x, of integers. */
#include "ops/ew.h"
#include "ops/ties.h"

SQZ_WHOLES(SQZ_EW_MAP, map, , ~(uint64_t)v)
static const sqz_ew_maps maps = {.of = {SQZ_WHOLES(SQZ_EW_OF, map)}};
static sqz_status infer(sqz_infer *q) { return sqz_ew_infer(q, &maps); }
static sqz_status run(const sqz_call *c) { return sqz_ew_run(c, &maps); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{3, {2, 3, 5}}}, .lo = -9, .hi = 9, .dtype = {SQZ_S32}},
    {.attrs = "", .n_in = 1, .in = {{1, {7}}}, .lo = 0, .hi = 200, .dtype = {SQZ_U8}},
};

const sqz_op sqz_op_bitwise_not = {
    .info = {.name = "bitwise_not", .doc = "every bit of x turned around"},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_ELEMENTWISE | SQZ_T_UNARY | SQZ_T_IN_PLACE,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .ties = sqz_ties_elementwise,
    .no_grad = "it works on the bits of integers",
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "BitwiseNot", .since = 18},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
