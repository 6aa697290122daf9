/* gelu: y = x/2 * (1 + erf(x/sqrt(2))), or its tanh form (Hendrycks & Gimpel 2016). */
#include "ops/ew.h"
#include "ops/grad.h"
#include <tgmath.h>

typedef struct attrs {
    int64_t approximate;
} attrs;
static const sqz_attr schema[] = {{.name = "approximate",
                                   .offset = offsetof(attrs, approximate),
                                   .type = SQZ_A_ENUM,
                                   .names = "none|tanh",
                                   .max = 1,
                                   .doc = "tanh: the cubic approximation"}};

/* sqrt(1/2) and sqrt(2/pi) */
#define EXACT (erf(v * (T)0.70710678118654752440))
#define CUBIC (tanh((T)0.79788456080286535588 * (v + (T)0.044715 * v * v * v)))
SQZ_FLOATS(SQZ_EW_MAP, map, const bool cubic = ((const attrs *)opts)->approximate != 0,
           (T)0.5 * v * ((T)1 + (cubic ? CUBIC : EXACT)))
static sqz_map_kind choose(const void *opts, float p[2])
{
    (void)p;
    return ((const attrs *)opts)->approximate ? SQZ_MAP_gelu_tanh : SQZ_MAP_gelu;
}
static const sqz_ew_maps maps = {.of = {SQZ_FLOATS(SQZ_EW_OF, map)}, .choose = choose};
SQZ_EW_UNARY_FUNCTIONS

/* Slopes, some elements at a time. Exact: Phi(x) + x phi(x). With t the tanh of u(x):
 * (1 + t) / 2 + x (1 - t^2) / 2 * u'(x). */
static void slope_exact(const sqz_kernels *k, const float *x, float *to, size_t n)
{
    const float half[2] = {0.70710678118654752440f, 0};
    float e[SQZ_GRAD_BLOCK] = {0};
    for (size_t i = 0; i < n; i++)
        e[i] = -0.5f * x[i] * x[i];
    k->map_f32(SQZ_MAP_exp, half, e, e, n);
    k->map_f32(SQZ_MAP_affine, half, x, to, n);
    k->map_f32(SQZ_MAP_erf, half, to, to, n);
    for (size_t i = 0; i < n; i++)
        to[i] = 0.5f * (1 + to[i]) + x[i] * 0.39894228040143267794f * e[i];
}
static void slope_cubic(const sqz_kernels *k, const float *x, float *to, size_t n)
{
    static const float none[2]; /* is read, and not used */
    for (size_t i = 0; i < n; i++)
        to[i] = 0.79788456080286535588f * (x[i] + 0.044715f * x[i] * x[i] * x[i]);
    k->map_f32(SQZ_MAP_tanh, none, to, to, n);
    for (size_t i = 0; i < n; i++) {
        const float t = to[i], v = x[i];
        to[i] = 0.5f * (1 + t) +
                0.5f * v * (1 - t * t) * 0.79788456080286535588f * (1 + 3 * 0.044715f * v * v);
    }
}

static sqz_status grad_piece(void *arg, size_t begin, size_t end)
{
    const sqz_grad_call *c = arg;
    const bool cubic = ((const attrs *)c->attrs)->approximate != 0, add = sqz_grad_adds(c, 0);
    for (size_t at = begin; at < end; at += SQZ_GRAD_BLOCK) {
        const size_t n = SQZ_MIN(end - at, SQZ_GRAD_BLOCK);
        const float *x = SQZ_F32P(c->in[0]) + at, *g = c->out_grad[0] + at;
        float *d = c->in_grad[0] + at, part[SQZ_GRAD_BLOCK];
        (cubic ? slope_cubic : slope_exact)(c->ctx->kernels, x, part, n);
        for (size_t i = 0; i < n; i++)
            part[i] *= g[i];
        for (size_t i = 0; i < n; i++)
            d[i] = add ? d[i] + part[i] : part[i];
    }
    return SQZ_OK;
}

static sqz_status grad(const sqz_grad_call *c)
{
    sqz_grad_call call = *c;
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c))
        return SQZ_OK;
    return sqz_parallel(c->ctx, c->in[0]->count, 16384, grad_piece, &call);
}

static const sqz_case cases[] = {
    {.attrs = "", .n_in = 1, .in = {{2, {3, 5}}}, .lo = -3, .hi = 3},
    {.attrs = "approximate=tanh", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .lo = -3, .hi = 3},
};

const sqz_op sqz_op_gelu = {
    .info = {.name = "gelu",
             .doc = "x/2 * (1 + erf(x/sqrt(2)))",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    SQZ_EW_UNARY,
    .traits = SQZ_EW_TRAITS,
    SQZ_EW_GRAD_COLUMNS,
    .quant = {.kind = SQZ_Q_LUT},
    .onnx = {.op_type = "Gelu", .since = 20},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
