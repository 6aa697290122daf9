/* quantize: real numbers to the grid of the output: one scale, one for each index of an axis, or
 * one for each block along an axis; without a grid, scale 1 and zero 0. */
#include "ir/op.h"
#include "ir/qgrid.h"
#include "ir/qround.h"
#include "kernels/kernels.h"

static const float one = 1.0f;
static const int32_t nought = 0;
static const sqz_quant plain = {.axis = -1, .n = 1, .scale = &one, .zero = &nought};

typedef struct attrs {
    int64_t dtype; /* sqz_dtype */
} attrs;
#define SQZ_DTYPE_NAMES /* in the order of dtype.def */                                            \
    "f32|f16|bf16|f64|s8|u8|s16|u16|s32|u32|s64|u64|bool|s4|u4"
static const sqz_attr schema[] = {{.name = "dtype",
                                   .offset = offsetof(attrs, dtype),
                                   .type = SQZ_A_ENUM,
                                   .names = SQZ_DTYPE_NAMES,
                                   .def = SQZ_S8,
                                   .min = SQZ_S8,
                                   .max = SQZ_U4,
                                   .flags = SQZ_AF_INTERNAL,
                                   .doc = "type of the integers"}};

static sqz_status infer(sqz_infer *q)
{
    const sqz_dtype d = (sqz_dtype)((const attrs *)q->attrs)->dtype;
    if (q->in[0]->dtype != SQZ_F32)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "its input is %s, only f32 is supported",
                        sqz_dtype_name(q->in[0]->dtype));
    if (d > SQZ_S32 && d != SQZ_S4 && d != SQZ_U4)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "codes of type %s, expected 4 to 16 bits or s32",
                        sqz_dtype_name(d));
    q->out[0] = q->in[0]->shape;
    q->out_dtype[0] = d;
    return SQZ_OK;
}

static void limits(sqz_dtype d, int32_t *lo, int32_t *hi)
{
    unsigned bits = sqz_dtype_bits(d);
    bool is_signed = d == SQZ_S4 || d == SQZ_S8 || d == SQZ_S16 || d == SQZ_S32;
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
    int32_t lo, hi;
    limits(y->dtype, &lo, &hi);
    for (size_t i = begin, n; i < end; i += n) {
        sqz_qrun r = sqz_quant_run(g, &y->shape, i);
        n = SQZ_MIN(r.n, end - i);
        if (y->dtype == SQZ_S8 && r.step == 0)
            c->ctx->kernels->quantize_s8(n, x + i, g->scale[r.first], g->zero[r.first],
                                         SQZ_S8P(y) + i);
        else
            for (size_t j = 0, k = r.first; j < n; j++, k += r.step)
                sqz_tensor_set_i64(y, i + j, sqz_qround(x[i + j], g->scale[k], g->zero[k], lo, hi));
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    sqz_call call = *c;
    sqz_tensor *y = c->out[0];
    if (sqz_dtype_bits(y->dtype) == 4 && y->count % 2) /* the spare half of the last byte */
        sqz_tensor_set_i64(y, y->count, 0);
    return sqz_parallel(c->ctx, y->count, 65536, piece, &call); /* even: 4-bit pairs */
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "dtype=u8", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
    {.attrs = "dtype=s16", .n_in = 1, .in = {{2, {3, 7}}}, .lo = -500, .hi = 500},
    {.attrs = "dtype=u4", .n_in = 1, .in = {{2, {3, 7}}}, .lo = -3, .hi = 20},
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
    .no_grad = "its results are integer codes; fake_quantize has an estimate",
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
