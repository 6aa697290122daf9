/* quantize: real numbers to the grid of the output, one scale or one for each index of an axis;
 * without a grid, scale 1 and zero 0. */
#include "ir/op.h"
#include "ir/qround.h"
#include "kernels/kernels.h"

static const float one = 1.0f;
static const int32_t nought = 0;
static const sqz_quant plain = {.axis = -1, .n = 1, .scale = &one, .zero = &nought};

typedef struct attrs {
    int64_t dtype; /* sqz_dtype */
} attrs;
#define SQZ_DTYPE_NAMES "f32|f16|bf16|f64|s8|u8|s16|u16|s32" /* in the order of dtype.def */
static const sqz_attr schema[] = {{.name = "dtype",
                                   .offset = offsetof(attrs, dtype),
                                   .type = SQZ_A_ENUM,
                                   .names = SQZ_DTYPE_NAMES,
                                   .def = SQZ_S8,
                                   .min = SQZ_S8,
                                   .max = SQZ_S32,
                                   .flags = SQZ_AF_INTERNAL,
                                   .doc = "type of the integers"}};

static sqz_status infer(sqz_infer *q)
{
    if (q->in[0]->dtype != SQZ_F32)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "its input is %s, only f32 is supported",
                        sqz_dtype_name(q->in[0]->dtype));
    q->out[0] = q->in[0]->shape;
    q->out_dtype[0] = (sqz_dtype)((const attrs *)q->attrs)->dtype;
    return SQZ_OK;
}

static void limits(sqz_dtype d, int32_t *lo, int32_t *hi)
{
    unsigned bits = sqz_dtype_bits(d);
    bool is_signed = d == SQZ_S8 || d == SQZ_S16 || d == SQZ_S32;
    int64_t top = ((int64_t)1 << (is_signed ? bits - 1 : bits)) - 1;
    *lo = is_signed ? (int32_t)(-top - 1) : 0;
    *hi = (int32_t)top;
}

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const sqz_quant *g = c->out_q && c->out_q[0] ? c->out_q[0] : &plain;
    sqz_tensor *y = c->out[0];
    const float *x = SQZ_F32P(c->in[0]);
    if (y->dtype == SQZ_S8 && g->axis < 0) {
        c->ctx->kernels->quantize_s8(end - begin, x + begin, g->scale[0], g->zero[0],
                                     SQZ_S8P(y) + begin);
        return SQZ_OK;
    }
    int32_t lo, hi;
    size_t inner = 1;
    limits(y->dtype, &lo, &hi);
    for (int32_t a = g->axis + 1; g->axis >= 0 && a < y->shape.rank; a++)
        inner *= (size_t)y->shape.dim[a];
    for (size_t i = begin; i < end; i++) {
        size_t k = g->axis < 0 ? 0 : i / inner % g->n;
        sqz_tensor_set_i64(y, i, sqz_qround(x[i], g->scale[k], g->zero[k], lo, hi));
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    sqz_call call = *c;
    return sqz_parallel(c->ctx, c->out[0]->count, 65536, piece, &call);
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "dtype=u8", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "dtype=s16", .n_in = 1, .in = {{2, {3, 7}}}, .lo = -500, .hi = 500},
};

const sqz_op sqz_op_quantize = {
    .info = {.name = "quantize",
             .doc = "real numbers to integers on a grid",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_ELEMENTWISE | SQZ_T_UNARY,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
