/* refine.c: the walk over sites in execution order: measure, round, keep what is better, mend the
 * bias. */
#include "quant/refine.h"
#include "kernels/blas.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PATCHES = 16384, PATCHES_TERM = 8, PANEL = 64 };

typedef struct work { /* one site; memory in `a` */
    sqz_graph *g;
    const sqz_graph *reference;
    sqz_refine *o;
    sqz_site *site;
    sqz_arena a;
    sqz_site_moments m;
    sqz_rounding r;
    int8_t *old;
    float *old_scale;
    double *before, *after;
} work;

/* The same for the same name, whatever else is refined. */
static uint64_t seed_of(const char *name, uint64_t seed)
{
    uint64_t h = 14695981039346656037u ^ seed; /* FNV-1a */
    for (const char *p = name; *p; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211u;
    return h;
}

static sqz_status room(work *w)
{
    const size_t n = w->site->rows * w->site->cols;
    sqz_arena *a = &w->a;
    float *weights = sqz_arena_alloc(a, n, sizeof *weights);
    float *scale = sqz_arena_alloc(a, n, sizeof *scale);
    int32_t *zero = sqz_arena_alloc(a, n, sizeof *zero);
    w->r.codes = sqz_arena_alloc(a, n, 1);
    w->old = sqz_arena_alloc(a, n, 1);
    w->old_scale = sqz_arena_alloc(a, n, sizeof *w->old_scale);
    w->before = sqz_arena_alloc(a, w->site->rows, sizeof *w->before);
    w->after = sqz_arena_alloc(a, w->site->rows, sizeof *w->after);
    if (!weights || !scale || !zero || !w->r.codes || !w->old || !w->old_scale || !w->before ||
        !w->after)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_site_weights(w->reference, w->site, weights));
    SQZ_TRY(sqz_site_grid(w->g, w->site, scale, zero));
    SQZ_TRY(sqz_site_codes(w->g, w->site, w->r.codes));
    memcpy(w->old, w->r.codes, n);
    memcpy(w->old_scale, scale, n * sizeof *scale);
    w->r.row_scale = sqz_site_row_scales(w->g, w->site);
    w->r.w = weights;
    w->r.scale = scale;
    w->r.zero = zero;
    return SQZ_OK;
}

/* Adds to the diagonal of h and hf, and so to H w. */
static void damp(work *w, float *hf, float *hw)
{
    const size_t k = w->site->cols;
    for (size_t g = 0; g < w->site->groups; g++) {
        double *h = w->m.h + g * k * k, mean = 0;
        for (size_t i = 0; i < k; i++)
            mean += h[i * (k + 1)] / (double)k;
        const double more = mean > 0 ? w->o->damping * mean : 1.0;
        for (size_t i = 0; i < k; i++) {
            h[i * (k + 1)] += more;
            hf[g * k * k + i * (k + 1)] = (float)h[i * (k + 1)];
        }
        const size_t wide = w->site->rows / w->site->groups;
        for (size_t i = g * wide * k; i < (g + 1) * wide * k; i++)
            hw[i] += (float)more * w->r.w[i];
    }
}

typedef struct product { /* rows of hw = w H */
    const work *w;
    const float *hf;
    float *hw;
} product;

static sqz_status multiply(void *arg, size_t begin, size_t end)
{
    const product *p = arg;
    const sqz_site *s = p->w->site;
    const size_t k = s->cols, wide = s->rows / s->groups;
    while (begin < end) {
        const size_t g = begin / wide, n = SQZ_MIN(end, (g + 1) * wide) - begin;
        const sqz_sgemm m = {.m = n,
                             .n = k,
                             .k = k,
                             .a = p->w->r.w + begin * k,
                             .b = p->hf + g * k * k,
                             .lda = k,
                             .ldb = k,
                             .ldc = k,
                             .b_rows = true,
                             .c = p->hw + begin * k};
        sqz_sgemm_rows(&m, 0, n);
        begin += n;
    }
    return SQZ_OK;
}

static bool mends_bias(const work *w)
{
    const bool on_grid = sqz_val(w->g, w->site->qx)->quant != NULL;
    return w->site->bias_slot && (w->o->bias < 0 ? on_grid : w->o->bias != 0);
}

static sqz_status measure(work *w, sqz_flow *f)
{
    const sqz_site *s = w->site;
    const size_t k = s->cols, square = s->groups * k * k, n = s->rows * k;
    const sqz_moment_options o = {.patches = w->o->patches ? (uint64_t)w->o->patches
                                                           : PATCHES + PATCHES_TERM * (uint64_t)k,
                                  .centered = mends_bias(w),
                                  .seed = w->r.seed};
    SQZ_TRY(sqz_site_measure(f, s, w->r.w, &o, &w->a, &w->m));
    float *a = sqz_arena_alloc(&w->a, n, sizeof *a);
    float *hw = sqz_arena_alloc(&w->a, n, sizeof *hw);
    float *hf = sqz_arena_alloc(&w->a, square, sizeof *hf);
    if (!a || !hw || !hf)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < square; i++)
        hf[i] = (float)w->m.h[i];
    product p = {w, hf, hw};
    SQZ_TRY(sqz_parallel(w->g->ctx, s->rows, PANEL, multiply, &p));
    for (size_t i = 0; i < n && w->r.asymmetric; i++)
        a[i] = hw[i] - (float)w->m.t[i];
    damp(w, hf, hw);
    w->r.a = a;
    w->r.hw = hw;
    w->r.hf = hf;
    w->r.h = w->m.h;
    w->r.m = &w->m;
    w->r.flow = f;
    return SQZ_OK;
}

/* J(0) of a row: what the weights as they are lose to the float network, yy - 2 w t + w H w. */
static double rest_of(const work *w, size_t r)
{
    const size_t k = w->site->cols;
    double sum = w->r.asymmetric ? w->m.yy[r] : 0;
    for (size_t i = r * k; w->r.asymmetric && i < (r + 1) * k; i++)
        sum += (double)w->r.w[i] * ((double)w->r.a[i] - w->m.t[i]);
    return sum;
}

/* Rows that are not better have their old codes again. */
static sqz_status keep_better(work *w)
{
    const size_t k = w->site->cols;
    SQZ_TRY(sqz_rounding_cost(&w->r, w->r.codes, w->after));
    sqz_rounding was = w->r;
    was.scale = w->old_scale;
    SQZ_TRY(sqz_rounding_cost(&was, w->old, w->before));
    double before = 0, after = 0;
    for (size_t r = 0; r < w->site->rows; r++) {
        if (!(w->after[r] < w->before[r])) {
            memcpy(w->r.codes + r * k, w->old + r * k, k);
            memcpy(w->r.scale + r * k, w->old_scale + r * k, k * sizeof *w->old_scale);
            w->after[r] = w->before[r];
            w->o->kept_rows++;
        }
        const double rest = rest_of(w, r);
        before += SQZ_MAX(w->before[r] + rest, 0.0);
        after += SQZ_MAX(w->after[r] + rest, 0.0);
    }
    w->o->n_site++;
    w->o->n_rows += (uint32_t)w->site->rows;
    if (before > 0) {
        w->o->before += 1;
        w->o->after += after / before;
    }
    return SQZ_OK;
}

sqz_status sqz_site_mend_bias(sqz_graph *g, const sqz_graph *reference, sqz_site *s,
                              const sqz_site_moments *m, sqz_arena *a, size_t *capped)
{
    const size_t k = s->cols, n = s->rows * k;
    double *b = sqz_arena_alloc(a, s->rows, sizeof *b);
    int8_t *codes = sqz_arena_alloc(a, n, 1);
    float *scale = sqz_arena_alloc(a, n, sizeof *scale);
    int32_t *zero = sqz_arena_alloc(a, n, sizeof *zero);
    if (!b || !codes || !scale || !zero)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_site_bias(reference, s, b));
    SQZ_TRY(sqz_site_codes(g, s, codes));
    SQZ_TRY(sqz_site_grid(g, s, scale, zero));
    for (size_t r = 0; r < s->rows; r++) {
        const double *x = m->mq + sqz_site_group(s, r) * k;
        double sum = 0;
        for (size_t c = 0; c < k; c++)
            sum += (double)scale[r * k + c] * (codes[r * k + c] - zero[r * k + c]) * x[c];
        b[r] += m->my[r] - sum;
    }
    return sqz_site_set_bias(g, s, b, capped);
}

static sqz_status refine_site(work *w, sqz_flow *f)
{
    const sqz_site *s = w->site;
    w->r = (sqz_rounding){.ctx = w->g->ctx,
                          .site = s,
                          .rows = s->rows,
                          .cols = s->cols,
                          .groups = s->groups,
                          .lo = s->lo,
                          .hi = s->hi,
                          .asymmetric = w->o->asymmetric < 0 ? s->window_op : w->o->asymmetric != 0,
                          .seed = w->r.seed};
    SQZ_TRY(room(w));
    SQZ_TRY(measure(w, f));
    if (!s->shared) {
        SQZ_TRY(w->o->round(w->o->user, &w->r));
        SQZ_TRY(keep_better(w));
        SQZ_TRY(sqz_site_set_codes(w->g, s, w->r.codes));
        if (w->r.row_scale && memcmp(w->r.scale, w->old_scale, s->rows * s->cols * sizeof(float)))
            SQZ_TRY(sqz_site_set_scales(w->g, w->site, w->r.scale));
    }
    if (mends_bias(w))
        SQZ_TRY(sqz_site_mend_bias(w->g, w->reference, w->site, &w->m, &w->a, NULL));
    return SQZ_OK;
}

static sqz_status walk(sqz_graph *g, const sqz_graph *reference, sqz_env *env, sqz_refine *r,
                       sqz_flow *f, sqz_arena *a)
{
    sqz_site *list;
    uint32_t n;
    SQZ_TRY(sqz_sites(reference, g, a, &list, &n));
    for (uint32_t i = 0; i < n; i++) {
        const sqz_node *nd = sqz_nod(g, list[i].node);
        work w = {.g = g, .reference = reference, .o = r, .site = &list[i], .a = {.ctx = g->ctx}};
        w.r.seed = seed_of(nd->name, env->seed);
        sqz_status s = sqz_flow_advance(f, list[i].node);
        if (s == SQZ_OK)
            s = refine_site(&w, f);
        sqz_arena_free(&w.a);
        SQZ_TRY(sqz_note(g->ctx, s, "node '%s' (%s)", nd->name, nd->op->info.name));
        if (!sqz_progress(g->ctx, r->pass, i + 1, n))
            return sqz_fail(g->ctx, SQZ_E_ARG, "stopped");
    }
    return SQZ_OK;
}

static void say(const sqz_graph *g, const sqz_env *env, const sqz_refine *r)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "%s: %u layers; squared error of their outputs %.3g of that before, %u of %u "
                   "output channels kept their weights",
                   r->pass, (unsigned)r->n_site, r->before > 0 ? r->after / r->before : 1.0,
                   (unsigned)r->kept_rows, (unsigned)r->n_rows);
    SQZ_INFO(g->ctx, "%s", text);
    if (env->notes) {
        sqz_str_add(env->notes, text);
        sqz_str_add(env->notes, "\n");
    }
}

sqz_status sqz_refine_run(sqz_graph *g, sqz_env *env, sqz_refine *r)
{
    const sqz_graph *reference;
    sqz_arena a = {.ctx = g->ctx};
    sqz_flow *f;
    SQZ_TRY(sqz_sites_ready(g, env, r->pass, &reference));
    const sqz_flow_options o = {
        .ds = env->calib, .layout = env->layout, .samples = r->samples ? r->samples : env->samples};
    SQZ_TRY(sqz_flow_open(reference, g, &o, &f));
    sqz_status s = walk(g, reference, env, r, f, &a);
    sqz_flow_close(f);
    sqz_arena_free(&a);
    if (s == SQZ_OK)
        say(g, env, r);
    return s;
}
