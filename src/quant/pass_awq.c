/* awq: activation-aware weight quantization (Lin et al. 2023). Weights of channels that are often
 * large are scaled up before rounding, x is scaled down by the same in whatever makes it:
 * t = mean|x|^a, a from 0 to 1 by least output error of the rounded weights. Then blocks of
 * weights are clipped where that makes their own output error less. For weights with few bits and
 * one scale for each block: give ptq the same bits and group, and ranges=minmax. */
#include "quant/interface.h"
#include "quant/wscale.h"
#include <math.h>
#include <string.h>

enum { CLIP_STEPS = 20 }; /* ratios 1 .. 0.5 */

typedef struct options {
    int64_t bits, group, steps, clip;
} options;

typedef struct awq {
    const options *o;
    int32_t limit;
    uint32_t scaled, seen; /* interfaces */
    double before, after;  /* output error of those that could be scaled, relative, summed */
} awq;

/* ---- rounding to nearest, in blocks of a row ---- */

static size_t block_of(const awq *w, size_t n)
{
    return w->o->group && (size_t)w->o->group < n ? (size_t)w->o->group : n;
}

static float scale_of(const awq *w, const float *x, size_t n, float *magnitude)
{
    for (size_t i = 0; i < n; i++)
        magnitude[i] = fabsf(x[i]);
    return sqz_weight_scale(magnitude, n, w->limit, SQZ_W_MINMAX, false);
}

static float rounded(float x, float scale, int32_t limit)
{
    const float q = nearbyintf(x / scale);
    return fminf(fmaxf(q, (float)-limit), (float)limit) * scale;
}

/* d = (Q(w t) - w t) / t */
static void error_of_row(const awq *w, const float *row, const float *t, size_t n, float *d,
                         float *temp)
{
    const size_t block = block_of(w, n);
    for (size_t i = 0; i < n; i++)
        d[i] = row[i] * t[i];
    for (size_t at = 0; at < n; at += block) {
        const size_t m = SQZ_MIN(block, n - at);
        const float scale = scale_of(w, d + at, m, temp);
        for (size_t i = at; i < at + m; i++)
            d[i] = (rounded(d[i], scale, w->limit) - d[i]) / t[i];
    }
}

/* ---- factors ---- */

static void factors(const sqz_interface *f, double a, float *t)
{
    double lo = INFINITY, hi = 0;
    for (size_t c = 0; c < f->n; c++) {
        const double v = pow(fmax((double)f->mean[c], 1e-4 * (double)f->most[c] + 1e-12), a);
        t[c] = f->class[c] == SQZ_NONE ? 0 : (float)v;
        if (f->class[c] != SQZ_NONE) {
            lo = fmin(lo, v);
            hi = fmax(hi, v);
        }
    }
    const double norm = sqrt(lo * hi);
    for (size_t c = 0; c < f->n; c++)
        t[c] = t[c] > 0 ? (float)fmin(fmax((double)t[c] / norm, 1e-4), 1e4) : 1;
    for (size_t c = 0; c < f->n; c++) /* channels of one class share: the first decides */
        for (size_t b = 0; b < c && f->class[c] != SQZ_NONE; b++)
            if (f->class[b] == f->class[c]) {
                t[c] = t[b];
                break;
            }
}

static sqz_status error_of_layer(const awq *w, const sqz_interface *f, const sqz_scaled *l,
                                 const float *t, sqz_arena *a, double *error)
{
    const size_t rows = l->outs * l->taps, n = f->n;
    float *x = sqz_arena_alloc(a, rows * n, sizeof *x),
          *d = sqz_arena_alloc(a, rows * n, sizeof *d);
    float *temp = sqz_arena_alloc(a, n, sizeof *temp);
    if (!x || !d || !temp)
        return SQZ_E_NOMEM;
    sqz_interface_rows(f->k->g, l, x);
    for (size_t r = 0; r < rows; r++)
        error_of_row(w, x + r * n, t, n, d + r * n, temp);
    return sqz_interface_error(f, d, rows, x, error);
}

/* Sum over the layers; each against its own output, or a loud one would decide for all. */
static sqz_status error_of(const awq *w, const sqz_interface *f, const float *t, const double *loud,
                           double *error)
{
    *error = 0;
    for (uint32_t i = 0; i < f->n_linear; i++) {
        sqz_arena a = {.ctx = f->k->g->ctx};
        double e = 0;
        sqz_status s = error_of_layer(w, f, f->linear[i], t, &a, &e);
        sqz_arena_free(&a);
        SQZ_TRY(s);
        *error += e / loud[i];
    }
    return SQZ_OK;
}

/* E|W x|^2 of each layer. */
static sqz_status loudness(const sqz_interface *f, double *loud)
{
    for (uint32_t i = 0; i < f->n_linear; i++) {
        const sqz_scaled *l = f->linear[i];
        const size_t rows = l->outs * l->taps;
        sqz_arena a = {.ctx = f->k->g->ctx};
        float *x = sqz_arena_alloc(&a, rows * f->n, sizeof *x);
        float *temp = sqz_arena_alloc(&a, rows * f->n, sizeof *temp);
        sqz_status s = x && temp ? SQZ_OK : SQZ_E_NOMEM;
        if (s == SQZ_OK) {
            sqz_interface_rows(f->k->g, l, x);
            s = sqz_interface_error(f, x, rows, temp, &loud[i]);
        }
        sqz_arena_free(&a);
        SQZ_TRY(s);
        loud[i] = fmax(loud[i], 1e-30);
    }
    return SQZ_OK;
}

static sqz_status search(awq *w, const sqz_interface *f, float *t, float *best, double *loud)
{
    double least = INFINITY, first = 0, e;
    SQZ_TRY(loudness(f, loud));
    for (int64_t i = 0; i <= w->o->steps; i++) {
        factors(f, (double)i / (double)w->o->steps, t);
        SQZ_TRY(error_of(w, f, t, loud, &e));
        first = i == 0 ? e : first;
        if (e < least) {
            least = e;
            memcpy(best, t, f->n * sizeof *best);
        }
    }
    w->before += first / f->n_linear;
    w->after += least / f->n_linear;
    w->scaled++;
    return SQZ_OK;
}

/* ---- clipping ---- */

/* d^T G d within a block that begins at column `at`. */
static double block_error(const sqz_interface *f, const float *t, const float *d, size_t at,
                          size_t m)
{
    double sum = 0;
    for (size_t i = 0; i < m; i++) {
        double line = 0;
        for (size_t j = 0; j < m; j++)
            line += (double)f->g[(at + i) * f->n + at + j] * (double)d[j] / (double)t[at + j];
        sum += line * (double)d[i] / (double)t[at + i];
    }
    return sum;
}

/* x, already scaled by t, is clipped in place. */
static void clip_block(const awq *w, const sqz_interface *f, const float *t, float *x, size_t at,
                       size_t m, float *temp)
{
    float *d = temp + m, most = 0, best = 0;
    double least = INFINITY;
    for (size_t i = 0; i < m; i++)
        most = fmaxf(most, fabsf(x[i]));
    if (most == 0.0f)
        return;
    for (int step = 0; step <= CLIP_STEPS; step++) {
        const float bound = most * (1 - 0.5f * (float)step / CLIP_STEPS);
        const float scale = sqz_weight_scale(&bound, 1, w->limit, SQZ_W_MINMAX, false);
        for (size_t i = 0; i < m; i++)
            d[i] = rounded(x[i], scale, w->limit) - x[i];
        const double e = block_error(f, t, d, at, m);
        if (e < least) {
            least = e;
            best = bound;
        }
    }
    for (size_t i = 0; i < m; i++)
        x[i] = fminf(fmaxf(x[i], -best), best);
}

typedef struct clip_job {
    const awq *w;
    const sqz_interface *f;
    const float *t;
    float *x, *temp; /* temp: 2 n for each worker */
} clip_job;

static sqz_status clip_rows(void *arg, size_t begin, size_t end)
{
    const clip_job *j = arg;
    const size_t n = j->f->n, block = block_of(j->w, n);
    float *temp = j->temp + (size_t)sqz_worker_index() * 2 * n;
    for (size_t r = begin; r < end; r++) {
        float *x = j->x + r * n;
        for (size_t i = 0; i < n; i++)
            x[i] *= j->t[i];
        for (size_t at = 0; at < n; at += block)
            clip_block(j->w, j->f, j->t, x + at, at, SQZ_MIN(block, n - at), temp);
        for (size_t i = 0; i < n; i++)
            x[i] /= j->t[i];
    }
    return SQZ_OK;
}

/* Weights stand as they were; the factors come later. */
static sqz_status clip_layer(const awq *w, const sqz_interface *f, sqz_scaled *l, const float *t,
                             sqz_arena *a)
{
    sqz_graph *g = f->k->g;
    const size_t rows = l->outs * l->taps, n = f->n;
    clip_job j = {.w = w, .f = f, .t = t, .x = sqz_arena_alloc(a, rows * n, sizeof *j.x)};
    j.temp = sqz_arena_alloc(a, (size_t)sqz_pool_threads(g->ctx->pool) * 2 * n, sizeof *j.temp);
    if (!j.x || !j.temp)
        return SQZ_E_NOMEM;
    sqz_interface_rows(g, l, j.x);
    SQZ_TRY(sqz_parallel(g->ctx, rows, 4, clip_rows, &j));
    sqz_tensor out;
    SQZ_TRY(sqz_tensor_room(g->ctx, SQZ_F32, &sqz_val(g, l->w)->constant->shape, &out));
    sqz_interface_put_rows(l, j.x, SQZ_F32P(&out));
    SQZ_TRY(sqz_put_operand(g, l->node, 1, &out));
    l->w = sqz_nod(g, l->node)->in[1];
    return SQZ_OK;
}

static sqz_status see(void *user, sqz_interface *f)
{
    awq *w = user;
    sqz_arena a = {.ctx = f->k->g->ctx};
    float *t = sqz_arena_alloc(&a, f->n, sizeof *t),
          *best = sqz_arena_alloc(&a, f->n, sizeof *best);
    double *loud = sqz_arena_alloc(&a, f->n_linear, sizeof *loud);
    sqz_status s = t && best && loud ? SQZ_OK : SQZ_E_NOMEM;
    for (size_t c = 0; c < f->n && s == SQZ_OK; c++)
        best[c] = 1;
    w->seen++;
    if (s == SQZ_OK && f->free && w->o->steps)
        s = search(w, f, t, best, loud);
    for (uint32_t i = 0; i < f->n_linear && s == SQZ_OK && w->o->clip; i++)
        s = clip_layer(w, f, f->linear[i], best, &a);
    if (s == SQZ_OK)
        sqz_interface_factors(f, best);
    sqz_arena_free(&a);
    return s;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    const options *o = opts;
    awq w = {.o = o, .limit = (1 << (o->bits - 1)) - 1};
    SQZ_TRY(sqz_interfaces_scale(g, env, "awq", see, &w));
    if (w.scaled)
        SQZ_INFO(g->ctx,
                 "awq: %u of %u layer inputs can be scaled; their relative output error falls from "
                 "%.3g to %.3g on average",
                 w.scaled, w.seen, w.before / w.scaled, w.after / w.scaled);
    return SQZ_OK;
}

static const sqz_attr schema[] = {
    {.name = "bits",
     .offset = offsetof(options, bits),
     .type = SQZ_A_INT,
     .def = 4,
     .min = 2,
     .max = 8,
     .doc = "bits of a weight that ptq will give"},
    {.name = "group",
     .offset = offsetof(options, group),
     .type = SQZ_A_INT,
     .def = 32,
     .min = 0,
     .max = 65536,
     .doc = "weights with one scale that ptq will give; 0: all of an output"},
    {.name = "steps",
     .offset = offsetof(options, steps),
     .type = SQZ_A_INT,
     .def = 20,
     .min = 0,
     .max = 1000,
     .doc = "exponents that are tried; 0: nothing is scaled"},
    {.name = "clip",
     .offset = offsetof(options, clip),
     .type = SQZ_A_BOOL,
     .def = 1,
     .max = 1,
     .doc = "clip blocks of weights where that makes their output error less"},
};

const sqz_pass sqz_pass_awq = {
    .info = {.name = "awq",
             .doc = "activation-aware weight quantization: channels scaled, blocks clipped",
             .opt_size = sizeof(options),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_HAS_LAYOUT | SQZ_HAS_FOLDED,
    .breaks = SQZ_HAS_RANGES,
    .run = run,
};
