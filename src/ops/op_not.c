/* not: y = not x, of bool. */
#include "ops/ew.h"
#include "ops/ties.h"

SQZ_EW_MAP(BOOL, map, , !v)
static const sqz_ew_maps maps = {.of = {SQZ_EW_OF(BOOL, map)}};
static sqz_status infer(sqz_infer *q) { return sqz_ew_infer(q, &maps); }
static sqz_status run(const sqz_call *c) { return sqz_ew_run(c, &maps); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{3, {2, 3, 5}}}, .lo = 0, .hi = 1, .dtype = {SQZ_BOOL}},
};

const sqz_op sqz_op_not = {
    .info = {.name = "not", .doc = "logical not"},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_ELEMENTWISE | SQZ_T_UNARY | SQZ_T_IN_PLACE,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .ties = sqz_ties_elementwise,
    .no_grad = "its results are true or false",
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "Not", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
