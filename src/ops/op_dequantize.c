/* dequantize: x = scale * (q - zero), by the grid of the input; without one, scale 1 and zero 0.
 * Scales are one, one for each index of an axis, or one for each block along it. */
#include "ir/op.h"
#include "ir/qgrid.h"
#include "kernels/kernels.h"

static const float one = 1.0f;
static const int32_t nought = 0;
static const sqz_quant plain = {.axis = -1, .n = 1, .scale = &one, .zero = &nought};

static sqz_status infer(sqz_infer *q)
{
    const sqz_dtype d = q->in[0]->dtype;
    if (sqz_dtype_is_float(d) || (d > SQZ_S32 && d != SQZ_S4 && d != SQZ_U4))
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED,
                        "its input is %s, integers of 4 to 16 bits or s32 are expected",
                        sqz_dtype_name(d));
    q->out[0] = q->in[0]->shape;
    q->out_dtype[0] = SQZ_F32;
    return SQZ_OK;
}

#define BLOCK 256

/* Codes i .. i+n-1, whatever their type. */
static void codes(const sqz_tensor *x, size_t i, size_t n, int32_t *out)
{
    const void *p = x->data;
    for (size_t j = 0; j < n; j++)
        switch (x->dtype) {
        case SQZ_S8: out[j] = ((const int8_t *)p)[i + j]; break;
        case SQZ_U8: out[j] = ((const uint8_t *)p)[i + j]; break;
        case SQZ_U4: out[j] = ((const uint8_t *)p)[(i + j) / 2] >> (i + j) % 2 * 4 & 15; break;
        default: out[j] = (int32_t)sqz_tensor_i64(x, i + j); break;
        }
}

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const sqz_quant *g = c->in_q && c->in_q[0] ? c->in_q[0] : &plain;
    const sqz_tensor *x = c->in[0];
    float *y = SQZ_F32P(c->out[0]);
    int32_t q[BLOCK];
    for (size_t i = begin, n; i < end; i += n) {
        sqz_qrun r = sqz_quant_run(g, &x->shape, i);
        n = SQZ_MIN(r.n, end - i);
        if (x->dtype == SQZ_S8 && r.step == 0) {
            c->ctx->kernels->dequantize_s8(n, SQZ_S8P(x) + i, g->scale[r.first], g->zero[r.first],
                                           y + i);
            continue;
        }
        n = SQZ_MIN(n, (size_t)BLOCK);
        codes(x, i, n, q);
        for (size_t j = 0, k = r.first; j < n; j++, k += r.step)
            y[i + j] = g->scale[k] * (float)((int64_t)q[j] - g->zero[k]);
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    sqz_call call = *c;
    return sqz_parallel(c->ctx, c->out[0]->count, 65536, piece, &call);
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}, .lo = -128, .hi = 127, .dtype = {SQZ_S8}},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = 0, .hi = 255, .dtype = {SQZ_U8}},
    {.attrs = "", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -70000, .hi = 70000, .dtype = {SQZ_S32}},
    {.attrs = "", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -8, .hi = 7, .dtype = {SQZ_S4}},
};

const sqz_op sqz_op_dequantize = {
    .info = {.name = "dequantize", .doc = "integers on a grid to real numbers"},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_ELEMENTWISE | SQZ_T_UNARY,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .no_grad = "it reads integer codes; fake_quantize has an estimate",
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
