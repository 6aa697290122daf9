/* bit_shift: y = a * 2^b or floor(a / 2^b), of integers, with broadcasting. Shifting by the width
 * or more leaves nothing but the sign. */
#include "ops/ew.h"

typedef struct attrs {
    int64_t direction;
} attrs;
static const sqz_attr schema[] = {{.name = "direction",
                                   .offset = offsetof(attrs, direction),
                                   .type = SQZ_A_ENUM,
                                   .names = "LEFT|RIGHT",
                                   .max = 1,
                                   .flags = SQZ_AF_REQUIRED,
                                   .doc = "which way"}};

#define IN_REACH   ((uint64_t)b < sizeof(T) * 8) /* negative shifts are as too large ones */
#define LEFT       (IN_REACH ? (uint64_t)a << b : 0)
#define RIGHT      (a >> (IN_REACH ? (size_t)b : sizeof(T) * 8 - 1))
#define RIGHT_ZERO (IN_REACH ? a >> b : 0)
#define IS_RIGHT   (((const attrs *)arg)->direction != 0)
SQZ_SIGNED(SQZ_EW_ROW, row, IS_RIGHT ? (uint64_t)RIGHT : LEFT)
SQZ_UNSIGNED(SQZ_EW_ROW, row, IS_RIGHT ? (uint64_t)(RIGHT_ZERO) : LEFT)
static const sqz_rows rows = {.of = {SQZ_WHOLES(SQZ_EW_OF, row)}};
static sqz_status infer(sqz_infer *q) { return sqz_ew_infer2(q, &rows); }
static sqz_status run(const sqz_call *c) { return sqz_ew_run2(c, &rows); }

static const sqz_case cases[] = {
    {.attrs = "direction=RIGHT",
     .n_in = 2,
     .in = {{2, {3, 4}}, {1, {4}}},
     .lo = 0,
     .hi = 9,
     .dtype = {SQZ_S32, SQZ_S32}},
    {.attrs = "",
     .n_in = 2,
     .in = {{3, {2, 3, 4}}, {3, {2, 1, 1}}},
     .lo = 1,
     .hi = 100,
     .dtype = {SQZ_U8, SQZ_U8}},
};

const sqz_op sqz_op_bit_shift = {
    .info = {.name = "bit_shift",
             .doc = "a shifted by b bits",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    SQZ_EW_BINARY,
    .no_grad = "it works on the bits of integers",
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "BitShift", .since = 11},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
