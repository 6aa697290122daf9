/* dequantize: x = scale * (q - zero), by the grid of the input; without one, scale 1 and zero 0. */
#include "ir/op.h"

static const float one = 1.0f;
static const int32_t nought = 0;
static const sqz_quant plain = {.axis = -1, .n = 1, .scale = &one, .zero = &nought};

static sqz_status infer(sqz_infer *q)
{
    if (sqz_dtype_is_float(q->in[0]->dtype) || q->in[0]->dtype == SQZ_BOOL)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "its input is %s, integers are expected",
                        sqz_dtype_name(q->in[0]->dtype));
    q->out[0] = q->in[0]->shape;
    q->out_dtype[0] = SQZ_F32;
    return SQZ_OK;
}

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const sqz_quant *g = c->in_q && c->in_q[0] ? c->in_q[0] : &plain;
    const sqz_tensor *x = c->in[0];
    float *y = SQZ_F32P(c->out[0]);
    size_t inner = 1;
    if (x->dtype == SQZ_S8 && g->axis < 0) {
        for (size_t i = begin; i < end; i++)
            y[i] = g->scale[0] * (float)(SQZ_S8P(x)[i] - g->zero[0]);
        return SQZ_OK;
    }
    for (int32_t a = g->axis + 1; g->axis >= 0 && a < x->shape.rank; a++)
        inner *= (size_t)x->shape.dim[a];
    for (size_t i = begin; i < end; i++) {
        size_t k = g->axis < 0 ? 0 : i / inner % g->n;
        y[i] = g->scale[k] * (float)(sqz_tensor_i64(x, i) - g->zero[k]);
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
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
