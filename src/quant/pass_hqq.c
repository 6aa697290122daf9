/* hqq: half-quadratic quantization (Badri & Shaji 2023). Needs no data. Weights that share a scale
 * get the grid with the least sum of |w - s (q - z)|^p, p < 1: most weights well, a few outliers
 * badly. With E what outliers are off by, split off by shrinkage,
 *
 *   E = sign(r) max(|r| - |r|^(p-1) / beta, 0), r = w - s (q - z);  T = w - E
 *   z = mean(q - T / s), rounded to a code;  s = <q - z, T> / <q - z, q - z>
 *
 * are visited in turn, beta growing; the best that was seen stays, the grid of ptq included. Zero
 * points are for weights under float operators only: integer kernels want them to be 0. */
#include "ir/qgrid.h"
#include "quant/qparams.h"
#include "quant/site.h"
#include <math.h>
#include <string.h>

#define STEPS_MAX 536870912.0 /* 2^29: a bias stays below in steps of its grid */

typedef struct options {
    double p, beta, growth;
    int64_t iterations, symmetric;
} options;

typedef struct block { /* weights with one scale */
    const float *w;
    size_t n;
    int lo, hi;
    bool even;   /* zero point 0 */
    float least; /* scale must not be below: the bias would not fit */
} block;

typedef struct grid {
    float scale;
    int32_t zero;
} grid;

/* ---- one block ---- */

static float code(const block *b, grid g, float w)
{
    const float q = nearbyintf(w / g.scale) + (float)g.zero;
    return fminf(fmaxf(q, (float)b->lo), (float)b->hi);
}

static double loss(const block *b, grid g, double p)
{
    double sum = 0;
    for (size_t i = 0; i < b->n; i++) {
        const double r = (double)b->w[i] - (double)g.scale * ((double)code(b, g, b->w[i]) - g.zero);
        sum += pow(fabs(r), p);
    }
    return sum;
}

/* The smallest grid that holds all weights and 0. */
static grid widest(const block *b)
{
    float lo = 0, hi = 0;
    for (size_t i = 0; i < b->n; i++) {
        lo = fminf(lo, b->w[i]);
        hi = fmaxf(hi, b->w[i]);
    }
    if (b->even)
        return (grid){sqz_qparams_sym(fmaxf(-lo, hi), b->hi), 0};
    const float scale = fmaxf((hi - lo) / (float)(b->hi - b->lo), SQZ_SCALE_MIN);
    const float zero = nearbyintf((float)b->lo - lo / scale);
    return (grid){scale, (int32_t)fminf(fmaxf(zero, (float)b->lo), (float)b->hi)};
}

static double shrunk(double r, double p, double beta)
{
    const double m = fabs(r);
    return m > 0 ? copysign(fmax(m - pow(m, p - 1) / beta, 0), r) : 0;
}

/* Weights are seen in units of their largest, so that beta means the same everywhere. */
static grid next(const block *b, grid g, const options *o, double beta, double unit)
{
    double offset = 0, up = 0, down = 0;
    int32_t zero = 0;
    for (size_t i = 0; i < b->n && !b->even; i++) {
        const double w = (double)b->w[i], q = (double)code(b, g, b->w[i]);
        const double r = (w - (double)g.scale * (q - g.zero)) / unit;
        offset += q - (w - unit * shrunk(r, o->p, beta)) / (double)g.scale;
    }
    if (!b->even)
        zero = (int32_t)fmin(fmax(nearbyint(offset / (double)b->n), b->lo), b->hi);
    for (size_t i = 0; i < b->n; i++) {
        const double w = (double)b->w[i], q = (double)code(b, g, b->w[i]);
        const double r = (w - (double)g.scale * (q - g.zero)) / unit;
        up += (q - zero) * (w - unit * shrunk(r, o->p, beta));
        down += (q - zero) * (q - zero);
    }
    const float scale = down > 0 && up > 0 ? (float)(up / down) : g.scale;
    return (grid){fmaxf(scale, b->least), zero};
}

/* The best of what is seen from two starts: the grid that there is, and the widest. */
static grid search(const block *b, grid start, const options *o, double *before, double *after)
{
    float most = 0;
    for (size_t i = 0; i < b->n; i++)
        most = fmaxf(most, fabsf(b->w[i]));
    grid best = start;
    double least = *before = loss(b, start, o->p);
    for (int from = 0; from < 2 && most > 0.0f; from++) {
        grid g = from ? widest(b) : start;
        double beta = o->beta;
        g.scale = fmaxf(g.scale, b->least);
        for (int64_t i = 0; i <= o->iterations; i++, beta *= o->growth) {
            const double l = loss(b, g, o->p);
            if (l < least) {
                least = l;
                best = g;
            }
            g = next(b, g, o, beta, (double)most);
        }
    }
    *after = least;
    return best;
}

/* ---- one site ---- */

typedef struct job {
    const options *o;
    const sqz_site *s;
    const size_t *first, *at; /* weights of scale k are at[first[k]] .. at[first[k + 1] - 1] */
    const float *w;           /* in that order */
    float *least;
    grid *grid;
    double *before, *after;
    bool even;
} job;

static sqz_status work(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    for (size_t k = begin; k < end; k++) {
        const block b = {.w = j->w + j->first[k],
                         .n = j->first[k + 1] - j->first[k],
                         .lo = j->even ? -j->s->hi : -j->s->hi - 1,
                         .hi = j->s->hi,
                         .even = j->even,
                         .least = j->least[k]};
        if (b.n)
            j->grid[k] = search(&b, j->grid[k], j->o, &j->before[k], &j->after[k]);
    }
    return SQZ_OK;
}

/* Weights in the order of their scales. */
static sqz_status sort(const sqz_graph *f, const sqz_graph *g, const sqz_site *s, sqz_arena *a,
                       job *j)
{
    const sqz_value *c = sqz_val(g, s->qw);
    const sqz_tensor *w = sqz_val(f, s->w)->constant;
    const size_t n = c->quant->n;
    size_t *first = sqz_arena_alloc(a, n + 2, sizeof *first);
    size_t *at = sqz_arena_alloc(a, w->count + 1, sizeof *at);
    float *sorted = sqz_arena_alloc(a, w->count + 1, sizeof *sorted);
    if (!first || !at || !sorted)
        return SQZ_E_NOMEM;
    for (size_t e = 0; e < w->count; e++)
        first[sqz_quant_run(c->quant, &c->shape, e).first + 2]++;
    for (size_t k = 2; k < n + 2; k++)
        first[k] += first[k - 1];
    for (size_t e = 0; e < w->count; e++) {
        const size_t to = first[sqz_quant_run(c->quant, &c->shape, e).first + 1]++;
        at[to] = e;
        sorted[to] = SQZ_F32P(w)[e];
        if (!isfinite(sorted[to]))
            return sqz_fail(g->ctx, SQZ_E_FORMAT, "weights '%s': a number is %g",
                            sqz_val(f, s->w)->name, (double)sorted[to]);
    }
    j->first = first;
    j->at = at;
    j->w = sorted;
    return SQZ_OK;
}

/* A scale of an integer site must leave its biases room in 32 bits. */
static void bound_scales(const sqz_graph *g, const sqz_site *s, const double *bias, float *least)
{
    const sqz_value *c = sqz_val(g, s->qw);
    const float x = sqz_val(g, s->qx)->quant->scale[0];
    for (size_t r = 0; r < s->rows; r++) {
        float *at = &least[sqz_quant_run(c->quant, &c->shape, sqz_site_at(s, r, 0)).first];
        *at = fmaxf(*at, (float)(fabs(bias[r]) / (STEPS_MAX * (double)x)));
    }
}

static sqz_status put(sqz_graph *g, const sqz_site *s, const job *j, sqz_arena *a)
{
    const sqz_value *c = sqz_val(g, s->qw);
    sqz_quant q = *c->quant;
    float *scale = sqz_arena_alloc(a, q.n, sizeof *scale);
    int32_t *zero = sqz_arena_alloc(a, q.n, sizeof *zero);
    sqz_tensor t;
    if (!scale || !zero)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_tensor_alloc(g->ctx, c->constant->dtype, &c->constant->shape, &t));
    for (uint32_t k = 0; k < q.n; k++) {
        const block b = {.lo = j->even ? -s->hi : -s->hi - 1, .hi = s->hi};
        scale[k] = j->grid[k].scale;
        zero[k] = j->grid[k].zero;
        for (size_t i = j->first[k]; i < j->first[k + 1]; i++)
            sqz_tensor_set_i64(&t, j->at[i], (int64_t)code(&b, j->grid[k], j->w[i]));
    }
    q.scale = scale;
    q.zero = zero;
    SQZ_TRY(sqz_value_set_constant(g, s->qw, &t));
    return sqz_value_set_grid(g, s->qw, &q);
}

/* The bias of an integer site keeps its numbers on the grid that the new scales make. */
static sqz_status put_bias(sqz_graph *g, sqz_site *s, const double *bias, sqz_arena *a)
{
    const sqz_value *c = sqz_val(g, s->qw);
    if (s->qb == SQZ_NONE || !sqz_val(g, s->qb)->quant)
        return SQZ_OK;
    sqz_quant q = *sqz_val(g, s->qb)->quant;
    float *scale = sqz_arena_alloc(a, q.n, sizeof *scale);
    if (!scale)
        return SQZ_E_NOMEM;
    const float x = sqz_val(g, s->qx)->quant->scale[0];
    for (size_t r = 0; r < s->rows; r++) {
        const size_t k = sqz_quant_run(c->quant, &c->shape, sqz_site_at(s, r, 0)).first;
        scale[q.n == 1 ? 0 : r] = sqz_bias_scale(x, c->quant->scale[k]);
    }
    q.scale = scale;
    SQZ_TRY(sqz_value_set_grid(g, s->qb, &q));
    return sqz_site_set_bias(g, s, bias, NULL);
}

static sqz_status refine(sqz_graph *g, const sqz_graph *f, sqz_site *s, const options *o,
                         sqz_arena *a, double *before, double *after)
{
    const sqz_quant *q = sqz_val(g, s->qw)->quant;
    const bool integer = sqz_val(g, s->qx)->quant && sqz_val(g, s->qy)->quant;
    job j = {.o = o, .s = s, .even = o->symmetric || integer};
    double *bias = sqz_arena_alloc(a, s->rows + 1, sizeof *bias);
    j.least = sqz_arena_alloc(a, q->n, sizeof *j.least);
    j.grid = sqz_arena_alloc(a, q->n, sizeof *j.grid);
    j.before = sqz_arena_alloc(a, q->n, sizeof *j.before);
    j.after = sqz_arena_alloc(a, q->n, sizeof *j.after);
    if (!bias || !j.least || !j.grid || !j.before || !j.after)
        return SQZ_E_NOMEM;
    SQZ_TRY(sort(f, g, s, a, &j));
    SQZ_TRY(sqz_site_bias(g, s, bias));
    for (uint32_t k = 0; k < q->n; k++) {
        j.grid[k] = (grid){q->scale[k], q->zero[k]};
        j.least[k] = SQZ_SCALE_MIN;
    }
    if (integer)
        bound_scales(g, s, bias, j.least);
    SQZ_TRY(sqz_parallel(g->ctx, q->n, 8, work, &j));
    for (uint32_t k = 0; k < q->n; k++) {
        *before += j.before[k];
        *after += j.after[k];
    }
    SQZ_TRY(put(g, s, &j, a));
    return integer ? put_bias(g, s, bias, a) : SQZ_OK;
}

/* ---- all sites ---- */

/* Several sites have these codes, and their biases stand on grids of their own. */
static bool is_shared(const sqz_site *list, uint32_t n, uint32_t i)
{
    for (uint32_t k = 0; k < n; k++)
        if (k != i && list[k].qw == list[i].qw)
            return true;
    return false;
}

static sqz_status refine_all(sqz_graph *g, const sqz_graph *f, const options *o, sqz_arena *a)
{
    sqz_site *s;
    uint32_t n;
    double before = 0, after = 0;
    SQZ_TRY(sqz_sites(f, g, a, &s, &n));
    for (uint32_t i = 0; i < n; i++) {
        const bool integer = sqz_val(g, s[i].qx)->quant && sqz_val(g, s[i].qy)->quant;
        if (s[i].shared || (integer && is_shared(s, n, i)) ||
            sqz_val(g, s[i].qw)->quant->scale[0] < 0)
            continue;
        sqz_arena one = {.ctx = g->ctx};
        sqz_status st = refine(g, f, &s[i], o, &one, &before, &after);
        sqz_arena_free(&one);
        SQZ_TRY(sqz_note(g->ctx, st, "node '%s'", sqz_nod(g, s[i].node)->name));
        if (!sqz_progress(g->ctx, "hqq", i + 1, n))
            return sqz_fail(g->ctx, SQZ_E_ARG, "stopped");
    }
    SQZ_INFO(g->ctx, "hqq: sum of |error|^%g of the weights falls from %.6g to %.6g", o->p, before,
             after);
    return SQZ_OK;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    const sqz_graph *reference;
    sqz_arena a = {.ctx = g->ctx};
    SQZ_TRY(sqz_reference(g, env, "hqq", &reference));
    sqz_status s = refine_all(g, reference, opts, &a);
    sqz_arena_free(&a);
    return s;
}

static const sqz_attr schema[] = {
    {.name = "p",
     .offset = offsetof(options, p),
     .type = SQZ_A_FLOAT,
     .def = 0.7,
     .min = 0.1,
     .max = 2,
     .doc = "of the norm of the weights' errors"},
    {.name = "beta",
     .offset = offsetof(options, beta),
     .type = SQZ_A_FLOAT,
     .def = 10,
     .min = 1e-3,
     .max = 1e6,
     .doc = "how soon an error counts as an outlier's; for weights of at most 1"},
    {.name = "growth",
     .offset = offsetof(options, growth),
     .type = SQZ_A_FLOAT,
     .def = 1.01,
     .min = 1,
     .max = 10,
     .doc = "of beta from iteration to iteration"},
    {.name = "iterations",
     .offset = offsetof(options, iterations),
     .type = SQZ_A_INT,
     .def = 20,
     .min = 0,
     .max = 10000,
     .doc = "visits of each block"},
    {.name = "symmetric",
     .offset = offsetof(options, symmetric),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "no zero points, as integer operators have it anyway"},
};

const sqz_pass sqz_pass_hqq = {
    .info = {.name = "hqq",
             .doc = "scales and zero points of weights by half-quadratic splitting; needs no data",
             .opt_size = sizeof(options),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_HAS_QUANT,
    .run = run,
};
