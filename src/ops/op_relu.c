/* relu: y = max(x, 0), any shape. */
#include "ir/op.h"

static sqz_status infer(sqz_infer *q)
{
    q->out[0] = q->in[0]->shape;
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const float *x = SQZ_F32P(c->in[0]);
    float *y = SQZ_F32P(c->out[0]);
    for (size_t i = 0; i < c->out[0]->count; i++)
        y[i] = x[i] < 0.0f ? 0.0f : x[i]; /* NaN goes through */
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{1, {5}}}},
    {.attrs = "", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}},
};

const sqz_op sqz_op_relu = {
    .info = {.name = "relu", .doc = "max(x, 0)"},
    .n_in_min = 1,
    .n_in_max = 1,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_ELEMENTWISE | SQZ_T_UNARY | SQZ_T_IN_PLACE | SQZ_T_RELU_LIKE,
    .layout = SQZ_L_ANY,
    .infer = infer,
    .run = run,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Relu", .since = 1},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
