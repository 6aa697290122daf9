/* score_fpgm: distance of a channel's weights to those of all others of its layer: what lies in the
 * middle of them can be replaced by them (He et al. 2019, "Filter pruning via geometric median").
 * By rows of the weights that make the channels. */
#include "prune/score.h"
#include <math.h>
#include <string.h>

/* Sum over all rows k of |w_i - w_k|, for each row i. */
static void distances(const sqz_tensor *t, double *d)
{
    const size_t n = (size_t)t->shape.dim[0], len = n ? t->count / n : 0;
    const float *w = SQZ_F32P(t);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++) {
            double sum = 0;
            for (size_t j = 0; j < len; j++) {
                const double x = (double)w[i * len + j] - (double)w[k * len + j];
                sum += x * x;
            }
            d[i] += sqrt(sum);
            d[k] += sqrt(sum);
        }
}

/* Rows make channels where axis 0 is that of the outputs. */
static bool makes_channels(const sqz_node *n)
{
    const char *name = n->op->info.name;
    return strcmp(name, "conv2d") == 0 || strcmp(name, "dwconv2d") == 0 ||
           strcmp(name, "gemm") == 0;
}

static sqz_status score_node(const sqz_classes *c, const sqz_node *n, sqz_arena *a, double *s,
                             uint32_t *met)
{
    const sqz_vid v = n->n_in > 1 ? n->in[1] : SQZ_NONE;
    const sqz_tensor *t = v == SQZ_NONE ? NULL : sqz_val(c->g, v)->constant;
    if (!makes_channels(n) || !t || t->dtype != SQZ_F32)
        return SQZ_OK;
    const size_t rows = (size_t)t->shape.dim[0];
    double mean = 0, *d = sqz_arena_alloc(a, rows + 1, sizeof *d);
    if (!d)
        return SQZ_E_NOMEM;
    distances(t, d);
    for (size_t i = 0; i < rows; i++)
        mean += d[i] / (double)rows;
    for (size_t i = 0; i < rows && mean > 0; i++) {
        const uint32_t k = sqz_class_of(c, v, 0, (int64_t)i);
        s[k] += c->cls[k].pin.text ? 0 : d[i] / mean;
        met[k]++;
    }
    return SQZ_OK;
}

static sqz_status score(const sqz_classes *c, const void *opts, const sqz_score_env *env, double *s)
{
    sqz_arena a = {.ctx = c->g->ctx};
    uint32_t *met = sqz_arena_alloc(&a, (size_t)c->n_class + 1, sizeof *met);
    sqz_status st = met ? SQZ_OK : SQZ_E_NOMEM;
    (void)opts, (void)env;
    memset(s, 0, c->n_class * sizeof *s);
    SQZ_EACH_NODE(c->g, id)
    {
        if (st == SQZ_OK)
            st = score_node(c, sqz_nod(c->g, id), &a, s, met);
    }
    for (uint32_t k = 0; st == SQZ_OK && k < c->n_class; k++)
        s[k] /= SQZ_MAX(met[k], 1u);
    sqz_arena_free(&a);
    return st;
}
const sqz_score sqz_score_fpgm = {
    .info = {.name = "fpgm", .doc = "distance to the other channels of the layer"}, .score = score};
