/* recurrent_act.c: the functions that ONNX names for gates. Those with parameters take them from
 * the lists of the node, in order, or from the operator of the same name. */
#include "ops/recurrent.h"
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    bool has_alpha, has_beta;
    float alpha, beta;
} functions[] = {
    [SQZ_ACT_RELU] = {"Relu", false, false, 0, 0},
    [SQZ_ACT_TANH] = {"Tanh", false, false, 0, 0},
    [SQZ_ACT_SIGMOID] = {"Sigmoid", false, false, 0, 0},
    [SQZ_ACT_AFFINE] = {"Affine", true, true, 1, 0},
    [SQZ_ACT_LEAKY_RELU] = {"LeakyRelu", true, false, 0.01f, 0},
    [SQZ_ACT_THRESHOLDED_RELU] = {"ThresholdedRelu", true, false, 1, 0},
    [SQZ_ACT_SCALED_TANH] = {"ScaledTanh", true, true, 1, 1},
    [SQZ_ACT_HARD_SIGMOID] = {"HardSigmoid", true, true, 0.2f, 0.5f},
    [SQZ_ACT_ELU] = {"Elu", true, false, 1, 0},
    [SQZ_ACT_SOFTSIGN] = {"Softsign", false, false, 0, 0},
    [SQZ_ACT_SOFTPLUS] = {"Softplus", false, false, 0, 0},
};

static float apply(const sqz_act *a, float x)
{
    switch (a->kind) {
    case SQZ_ACT_RELU: return x > 0 ? x : 0;
    case SQZ_ACT_AFFINE: return a->alpha * x + a->beta;
    case SQZ_ACT_LEAKY_RELU: return x >= 0 ? x : a->alpha * x;
    case SQZ_ACT_THRESHOLDED_RELU: return x >= a->alpha ? x : 0;
    case SQZ_ACT_SCALED_TANH: return a->alpha * tanhf(a->beta * x);
    case SQZ_ACT_HARD_SIGMOID: return fminf(fmaxf(a->alpha * x + a->beta, 0), 1);
    default: return x; /* has a kernel */
    }
}

/* Those that have a kernel. */
static const sqz_map_kind kernels[] = {
    [SQZ_ACT_TANH] = SQZ_MAP_tanh,         [SQZ_ACT_SIGMOID] = SQZ_MAP_sigmoid,
    [SQZ_ACT_SOFTSIGN] = SQZ_MAP_softsign, [SQZ_ACT_SOFTPLUS] = SQZ_MAP_softplus,
    [SQZ_ACT_ELU] = SQZ_MAP_elu,
};

void sqz_act_run(const sqz_kernels *k, const sqz_act *a, float clip, float *x, size_t n)
{
    const sqz_map_kind kind = a->kind < SQZ_COUNT(kernels) ? kernels[a->kind] : SQZ_MAP_none;
    const float p[2] = {a->alpha, a->beta}, bounds[2] = {-clip, clip};
    if (clip > 0)
        k->map_f32(SQZ_MAP_clip, bounds, x, x, n);
    if (kind)
        k->map_f32(kind, p, x, x, n);
    else
        for (size_t i = 0; i < n; i++)
            x[i] = apply(a, x[i]);
}

bool sqz_act_has_slope(const sqz_act *a)
{
    return (a->kind != SQZ_ACT_LEAKY_RELU && a->kind != SQZ_ACT_ELU) || a->alpha >= 0;
}

float sqz_act_slope(const sqz_act *a, float y)
{
    const float alpha = a->alpha, beta = a->beta;
    switch (a->kind) {
    case SQZ_ACT_RELU: return y > 0;
    case SQZ_ACT_TANH: return 1 - y * y;
    case SQZ_ACT_SIGMOID: return y * (1 - y);
    case SQZ_ACT_AFFINE: return alpha;
    case SQZ_ACT_LEAKY_RELU: return y >= 0 ? 1 : alpha;
    case SQZ_ACT_THRESHOLDED_RELU: return y != 0;
    case SQZ_ACT_SCALED_TANH: return alpha == 0 ? 0 : beta * (alpha - y * y / alpha);
    case SQZ_ACT_HARD_SIGMOID: return y > 0 && y < 1 ? alpha : 0;
    case SQZ_ACT_ELU: return y > 0 ? 1 : y + alpha;
    case SQZ_ACT_SOFTSIGN: return (1 - fabsf(y)) * (1 - fabsf(y));
    case SQZ_ACT_SOFTPLUS: return 1 - expf(-y);
    }
    return 0;
}

static sqz_status find(sqz_ctx *ctx, const char *name, size_t len, sqz_act_kind *out)
{
    for (size_t i = 0; i < SQZ_COUNT(functions); i++)
        if (strlen(functions[i].name) == len && strncasecmp(functions[i].name, name, len) == 0) {
            *out = (sqz_act_kind)i;
            return SQZ_OK;
        }
    return sqz_fail(ctx, SQZ_E_UNSUPPORTED,
                    "activation '%.*s' is not known, expected Relu, Tanh, Sigmoid, Affine, "
                    "LeakyRelu, ThresholdedRelu, ScaledTanh, HardSigmoid, Elu, Softsign or "
                    "Softplus",
                    (int)SQZ_MIN(len, (size_t)60), name);
}

sqz_status sqz_rec_acts(sqz_ctx *ctx, const sqz_rec_kind *kind, const sqz_rec_attrs *at,
                        size_t dirs, sqz_act out[SQZ_REC_ACTS])
{
    const bool own = !at->activations || !*at->activations;
    const char *text = own ? kind->activations : at->activations;
    uint32_t next_alpha = 0, next_beta = 0;
    const size_t n = kind->n_act * dirs;
    for (size_t i = 0; i < n; i++) {
        size_t len = strcspn(text, ",");
        bool last = own ? (i + 1) % kind->n_act == 0 : i + 1 == n;
        SQZ_TRY(find(ctx, text, len, &out[i].kind));
        if ((text[len] == '\0') != last)
            return sqz_fail(ctx, SQZ_E_FORMAT,
                            "activations are '%.100s', expected %zu of them, %u for each direction",
                            at->activations, n, kind->n_act);
        out[i].alpha = functions[out[i].kind].alpha;
        out[i].beta = functions[out[i].kind].beta;
        if (functions[out[i].kind].has_alpha && next_alpha < at->alpha.n)
            out[i].alpha = at->alpha.v[next_alpha++];
        if (functions[out[i].kind].has_beta && next_beta < at->beta.n)
            out[i].beta = at->beta.v[next_beta++];
        text = last && own ? kind->activations : text + len + !last;
    }
    return SQZ_OK;
}
