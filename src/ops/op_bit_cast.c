/* bit_cast: the same bits, read as another type of the same width. */
#include "ops/move.h"

typedef struct attrs {
    int64_t to;
} attrs;
static const sqz_attr schema[] = {{.name = "to",
                                   .offset = offsetof(attrs, to),
                                   .type = SQZ_A_INT,
                                   .def = 1,
                                   .min = 1,
                                   .max = 26,
                                   .flags = SQZ_AF_REQUIRED,
                                   .doc = "TensorProto.DataType: 1 f32, 6 s32, 12 u32"}};

static sqz_status infer(sqz_infer *q)
{
    const int32_t to = (int32_t)((const attrs *)q->attrs)->to;
    const sqz_dtype from = q->in[0]->dtype;
    q->out_dtype[0] = sqz_dtype_of_onnx(to);
    q->out[0] = q->in[0]->shape;
    if (q->out_dtype[0] == SQZ_N_DTYPE)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "ONNX type %d is not supported", (int)to);
    if (sqz_dtype_bits(q->out_dtype[0]) != sqz_dtype_bits(from))
        return sqz_fail(q->ctx, SQZ_E_FORMAT, "%s has not the width of %s",
                        sqz_dtype_name(q->out_dtype[0]), sqz_dtype_name(from));
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "to=6", .n_in = 1, .in = {{3, {2, 3, 5}}}},
    {.attrs = "to=2", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -9, .hi = 9, .dtype = {SQZ_S8}},
};

const sqz_op sqz_op_bit_cast = {
    .info = {.name = "bit_cast",
             .doc = "the same bits as another type",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_ELEMENTWISE | SQZ_T_UNARY | SQZ_T_TYPES,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = sqz_view_run,
    .cost = sqz_move_cost,
    .no_grad = "it looks at the bits of numbers",
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "BitCast", .since = 26},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
