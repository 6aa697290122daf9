/* expand: x broadcast to a shape, both ways as NumPy does. */
#include "ops/move.h"

typedef struct attrs {
    sqz_ints shape;
} attrs;
static const sqz_attr schema[] = {{.name = "shape",
                                   .offset = offsetof(attrs, shape),
                                   .type = SQZ_A_INTS,
                                   .min = 0,
                                   .max = 0x1p62,
                                   .flags = SQZ_AF_REQUIRED,
                                   .slot = 1,
                                   .since = 8,
                                   .doc = "target; 1: as in the input"}};

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    SQZ_TRY(sqz_need_bytes(q, 0));
    if (at->shape.n > SQZ_MAX_RANK)
        return sqz_fail(q->ctx, SQZ_E_LIMIT, "expand to %u dimensions, at most %d are supported",
                        (unsigned)at->shape.n, SQZ_MAX_RANK);
    const sqz_shape target = sqz_shape_of((int32_t)at->shape.n, at->shape.v);
    return sqz_shape_broadcast(q->ctx, &q->in[0]->shape, &target, &q->out[0]);
}

static void map(const void *opts, const sqz_prep *p, int32_t axis, int64_t in, int64_t out,
                int64_t *m)
{
    (void)opts, (void)p, (void)axis;
    for (int64_t i = 0; i < out; i++)
        m[i] = in == 1 ? 0 : i;
}
static sqz_status prepare(sqz_prep *p) { return sqz_maps_prepare(p, map); }

static const sqz_case cases[] = {
    {.attrs = "shape=2,3,4", .n_in = 1, .in = {{2, {3, 1}}}},
    {.attrs = "shape=1,4", .n_in = 1, .in = {{2, {3, 1}}}},
};

const sqz_op sqz_op_expand = {
    .info = {.name = "expand",
             .doc = "broadcasts to a shape",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_MOVES,
    .layout = SQZ_L_FILE,
    .infer = infer,
    .run = sqz_maps_run_plain,
    .prepare = prepare,
    .cost = sqz_move_cost,
    .quant = {.kind = SQZ_Q_SAME},
    .onnx = {.op_type = "Expand", .since = 8},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
