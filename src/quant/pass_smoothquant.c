/* smoothquant: Xiao et al. 2022. A few channels of a transformer's activations are far larger than
 * the others and decide the step of all: they are divided by t = max|x|^a / max|W|^(1-a) in
 * whatever makes them, and the weights that read them multiplied. Not a free win: the exponent is
 * chosen for each layer input by the expected output error at 8 bits on both sides, and nothing is
 * done where that does not fall:
 *
 *   E = |step of x / t|^2 / 12 * |W t|^2  +  tr(D G D^T),  D = (Q(W t) - W t) / t */
#include "quant/interface.h"
#include "quant/wscale.h"
#include <math.h>
#include <string.h>

typedef struct options {
    double alpha;
} options;

typedef struct smooth {
    const options *o;
    uint32_t scaled, seen;
    double before, after;
} smooth;

/* Largest weight that reads each channel. */
static void largest(const sqz_interface *f, float *w)
{
    memset(w, 0, f->n * sizeof *w);
    for (uint32_t i = 0; i < f->n_linear; i++) {
        const sqz_tensor *t = sqz_val(f->k->g, f->linear[i]->w)->constant;
        for (size_t e = 0, o, c; e < t->count; e++) {
            sqz_scaled_at(f->linear[i], e, &o, &c);
            w[c] = fmaxf(w[c], fabsf(SQZ_F32P(t)[e]));
        }
    }
}

static void factors(const sqz_interface *f, const float *w, double alpha, float *t)
{
    for (size_t c = 0; c < f->n; c++) {
        const double x = fmax((double)f->most[c], 1e-5), v = fmax((double)w[c], 1e-5);
        t[c] = (float)fmin(fmax(pow(x, alpha) / pow(v, 1 - alpha), 1e-4), 1e4);
        if (f->class[c] == SQZ_NONE)
            t[c] = 1;
        for (size_t b = 0; b < c && f->class[c] != SQZ_NONE; b++)
            if (f->class[b] == f->class[c]) {
                t[c] = t[b];
                break;
            }
    }
}

/* 8 bits for each row of weights, 8 bits for the activation. */
static sqz_status error_of_layer(const sqz_interface *f, const sqz_scaled *l, const float *t,
                                 double noise, sqz_arena *a, double *error)
{
    const size_t rows = l->outs * l->taps, n = f->n;
    float *x = sqz_arena_alloc(a, rows * n, sizeof *x),
          *d = sqz_arena_alloc(a, rows * n, sizeof *d);
    double energy = 0, weights = 0;
    if (!x || !d)
        return SQZ_E_NOMEM;
    sqz_interface_rows(f->k->g, l, x);
    for (size_t r = 0; r < rows; r++) {
        float most = 0;
        for (size_t i = 0; i < n; i++)
            most = fmaxf(most, fabsf(x[r * n + i] * t[i]));
        const float scale = sqz_weight_scale(&most, 1, 127, SQZ_W_MINMAX, false);
        for (size_t i = 0; i < n; i++) {
            const float v = x[r * n + i] * t[i];
            energy += (double)v * (double)v;
            d[r * n + i] = (nearbyintf(v / scale) * scale - v) / t[i];
        }
    }
    SQZ_TRY(sqz_interface_error(f, d, rows, x, &weights));
    *error += weights + energy * noise;
    return SQZ_OK;
}

static sqz_status error_of(const sqz_interface *f, const float *t, double *error)
{
    double most = 0;
    for (size_t c = 0; c < f->n; c++)
        most = fmax(most, (double)f->most[c] / (double)t[c]);
    /* an activation that never changes its sign has all levels on one side */
    const double step = most * (f->lo >= 0 || f->hi <= 0 ? 1 : 2) / 255;
    *error = 0;
    for (uint32_t i = 0; i < f->n_linear; i++) {
        sqz_arena a = {.ctx = f->k->g->ctx};
        sqz_status s = error_of_layer(f, f->linear[i], t, step * step / 12, &a, error);
        sqz_arena_free(&a);
        SQZ_TRY(s);
    }
    return SQZ_OK;
}

static sqz_status search(smooth *m, const sqz_interface *f, float *t, float *w, float *best)
{
    static const double tried[] = {0.25, 0.35, 0.5, 0.6, 0.75, 0.85};
    const double *alpha = m->o->alpha > 0 ? &m->o->alpha : tried;
    const size_t n = m->o->alpha > 0 ? 1 : SQZ_COUNT(tried);
    double least, e;
    largest(f, w);
    SQZ_TRY(error_of(f, best, &least)); /* all ones */
    const double first = fmax(least, 1e-30);
    for (size_t i = 0; i < n; i++) {
        factors(f, w, alpha[i], t);
        SQZ_TRY(error_of(f, t, &e));
        if (e < least || m->o->alpha > 0) {
            least = e;
            memcpy(best, t, f->n * sizeof *best);
        }
    }
    m->before += 1;
    m->after += least / first;
    m->scaled++;
    return SQZ_OK;
}

static sqz_status see(void *user, sqz_interface *f)
{
    smooth *m = user;
    sqz_arena a = {.ctx = f->k->g->ctx};
    float *t = sqz_arena_alloc(&a, f->n, sizeof *t), *w = sqz_arena_alloc(&a, f->n, sizeof *w);
    float *best = sqz_arena_alloc(&a, f->n, sizeof *best);
    sqz_status s = t && w && best ? SQZ_OK : SQZ_E_NOMEM;
    for (size_t c = 0; c < f->n && s == SQZ_OK; c++)
        best[c] = 1;
    m->seen++;
    if (s == SQZ_OK && f->free)
        s = search(m, f, t, w, best);
    if (s == SQZ_OK)
        sqz_interface_factors(f, best);
    sqz_arena_free(&a);
    return s;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    const options *o = opts;
    smooth m = {.o = o};
    SQZ_TRY(sqz_interfaces_scale(g, env, "smoothquant", see, &m));
    if (m.scaled)
        SQZ_INFO(g->ctx,
                 "smoothquant: %u of %u layer inputs can be scaled; their expected output error at "
                 "8 bits falls to %.3g of what it was",
                 m.scaled, m.seen, m.after / m.before);
    return SQZ_OK;
}

static const sqz_attr schema[] = {
    {.name = "alpha",
     .offset = offsetof(options, alpha),
     .type = SQZ_A_FLOAT,
     .def = 0,
     .min = 0,
     .max = 1,
     .doc = "share of the difficulty that moves to the weights; 0: chosen for each layer input"},
};

const sqz_pass sqz_pass_smoothquant = {
    .info = {.name = "smoothquant",
             .doc = "activation outliers move into the weights that read them",
             .opt_size = sizeof(options),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_HAS_LAYOUT | SQZ_HAS_FOLDED,
    .breaks = SQZ_HAS_RANGES,
    .exact = true,
    .run = run,
};
