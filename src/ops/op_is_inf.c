/* is_inf: y = whether x is infinite, of the signs that are asked for. */
#include "ops/ew.h"
#include "ops/ties.h"

typedef struct attrs {
    int64_t detect_negative, detect_positive;
} attrs;
static const sqz_attr schema[] = {
    {.name = "detect_negative",
     .offset = offsetof(attrs, detect_negative),
     .type = SQZ_A_BOOL,
     .def = 1,
     .max = 1,
     .doc = "-infinity counts"},
    {.name = "detect_positive",
     .offset = offsetof(attrs, detect_positive),
     .type = SQZ_A_BOOL,
     .def = 1,
     .max = 1,
     .doc = "+infinity counts"},
};

#define TEST(type, name, ...)                                                                      \
    SQZ_EW_MAP_TO(type, uint8_t, name, const attrs *at = opts, __VA_ARGS__)
SQZ_FLOATS(TEST, map, isinf(v) && (v < 0 ? at->detect_negative : at->detect_positive))
static const sqz_ew_maps maps = {.of = {SQZ_FLOATS(SQZ_EW_OF, map)}};
static sqz_status infer(sqz_infer *q)
{
    q->out_dtype[0] = SQZ_BOOL;
    return sqz_ew_infer(q, &maps);
}
static sqz_status run(const sqz_call *c) { return sqz_ew_run(c, &maps); }

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{3, {2, 3, 5}}}},
    {.attrs = "detect_negative=0", .n_in = 1, .in = {{2, {3, 5}}}},
};

const sqz_op sqz_op_is_inf = {
    .info = {.name = "is_inf",
             .doc = "whether x is infinite",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
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
    .onnx = {.op_type = "IsInf", .since = 10},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
