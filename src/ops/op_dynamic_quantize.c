/* dynamic_quantize: x to uint8 on the grid that its own extremes ask for, with that grid's scale
 * and zero point as further outputs: scale = (max(0, x) - min(0, x)) / 255,   zero = clamp([-min /
 * scale], 0, 255) A tensor of zeros has scale 1. The extremes are those of the whole tensor, batch
 * included. */
#include "ir/op.h"
#include "ir/qround.h"
#include "kernels/kernels.h"

static sqz_status infer(sqz_infer *q)
{
    if (q->in[0]->dtype != SQZ_F32)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "its input is %s, expected f32",
                        sqz_dtype_name(q->in[0]->dtype));
    q->out[0] = q->in[0]->shape;
    q->out_dtype[0] = SQZ_U8;
    if (q->n_out > 1)
        q->out_dtype[1] = SQZ_F32;
    if (q->n_out > 2)
        q->out_dtype[2] = SQZ_U8;
    return SQZ_OK;
}

typedef struct job {
    const float *x;
    uint8_t *y;
    float scale;
    int32_t zero;
} job;

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    for (size_t i = begin; i < end; i++)
        j->y[i] = (uint8_t)sqz_qround(j->x[i], j->scale, j->zero, 0, 255);
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const sqz_tensor *x = c->in[0];
    job j = {.x = SQZ_F32P(x), .y = c->out[0]->data, .scale = 1.0f};
    float lo = 0.0f, hi = 0.0f;
    for (size_t i = 0; i < x->count; i++) { /* NaN is passed over */
        lo = j.x[i] < lo ? j.x[i] : lo;
        hi = j.x[i] > hi ? j.x[i] : hi;
    }
    if (hi > lo)
        j.scale = (hi - lo) / 255.0f;
    j.zero = sqz_qround(-lo, j.scale, 0, 0, 255);
    if (c->n_out > 1)
        SQZ_F32P(c->out[1])[0] = j.scale;
    if (c->n_out > 2)
        *(uint8_t *)c->out[2]->data = (uint8_t)j.zero;
    return sqz_parallel(c->ctx, x->count, 65536, piece, &j);
}

static const sqz_case cases[] = {
    {.n_in = 1, .in = {{2, {3, 5}}}},
    {.n_in = 1, .in = {{4, {1, 4, 5, 3}}}, .lo = 2, .hi = 3},
};

const sqz_op sqz_op_dynamic_quantize = {
    .info = {.name = "dynamic_quantize",
             .doc = "real numbers to uint8 on the grid of their extremes"},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 3,
    .traits = SQZ_T_TYPES,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .no_grad = "its results are integer codes; fake_quantize has an estimate",
    .onnx = {.op_type = "DynamicQuantizeLinear", .since = 11},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
