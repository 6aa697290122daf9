/* interface.c: see interface.h. Second moments are float products of blocks, added to totals in
 * double. */
#include "quant/interface.h"
#include "kernels/blas.h"
#include "quant/feed.h"
#include <math.h>
#include <string.h>

enum { CHANNELS_MAX = 8192, BLOCK = 1024 };

static sqz_status ready(const sqz_graph *g, const sqz_env *env, const char *pass)
{
    if (g->have & SQZ_HAS_QUANT)
        return sqz_fail(g->ctx, SQZ_E_ARG, "pass '%s' works on float models: put it before 'ptq'",
                        pass);
    if (env->ranges)
        return sqz_fail(
            g->ctx, SQZ_E_ARG,
            "pass '%s' changes the ranges of activations: ranges that were found before "
            "(--ranges) do not hold any more; give data instead",
            pass);
    if (!env->calib)
        return sqz_fail(g->ctx, SQZ_E_ARG, "pass '%s' needs calibration data (--data)", pass);
    return SQZ_OK;
}

/* ---- weights as rows ---- */

/* Row and column of element e: taps of an output are rows of their own. */
static size_t place(const sqz_scaled *l, size_t e)
{
    size_t o, c, tap = 0;
    sqz_scaled_at(l, e, &o, &c);
    if (l->form == SQZ_W_ROWS)
        tap = e / l->cols % l->taps;
    else if (l->form == SQZ_W_TURNED)
        tap = e / l->share % l->taps;
    return (o * l->taps + tap) * l->cols + c;
}

void sqz_interface_rows(const sqz_graph *g, const sqz_scaled *l, float *rows)
{
    const sqz_tensor *w = sqz_val(g, l->w)->constant;
    for (size_t e = 0; e < w->count; e++)
        rows[place(l, e)] = SQZ_F32P(w)[e];
}

void sqz_interface_put_rows(const sqz_scaled *l, const float *rows, float *w)
{
    for (size_t e = 0; e < l->outs * l->cols * l->taps; e++)
        w[e] = rows[place(l, e)];
}

sqz_status sqz_interface_error(const sqz_interface *f, const float *d, size_t rows, float *temp,
                               double *out)
{
    const sqz_sgemm p = {.m = rows,
                         .n = f->n,
                         .k = f->n,
                         .a = d,
                         .b = f->g,
                         .lda = f->n,
                         .ldb = f->n,
                         .ldc = f->n,
                         .c = temp};
    SQZ_TRY(sqz_sgemm_all(f->k->g->ctx, &p));
    *out = 0;
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        for (size_t c = 0; c < f->n; c++)
            sum += (double)d[r * f->n + c] * (double)temp[r * f->n + c];
        *out += sum;
    }
    return SQZ_OK;
}

/* ---- one interface ---- */

typedef struct visit {
    sqz_scaling *k;
    sqz_flow *flow;
    bool *scaled; /* of a class: an interface before could scale it */
} visit;

typedef struct totals {
    double *g, *mean;
    float *most, *block;
    uint64_t rows;
} totals;

static void see_rows(const sqz_interface *f, totals *t, float *x, size_t rows)
{
    for (size_t at = 0; at < rows; at += BLOCK) {
        const size_t m = SQZ_MIN(rows - at, (size_t)BLOCK);
        const float *from = x + at * f->n;
        const sqz_sgemm_t p = {.m = f->n,
                               .n = f->n,
                               .k = m,
                               .left = from,
                               .right = from,
                               .ld_left = f->n,
                               .ld_right = f->n,
                               .ld_c = f->n,
                               .c = t->block};
        memset(t->block, 0, f->n * f->n * sizeof *t->block);
        sqz_sgemm_turned(&p);
        for (size_t i = 0; i < f->n * f->n; i++)
            t->g[i] += (double)t->block[i];
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < f->n; c++) {
            const float v = fabsf(x[r * f->n + c]);
            t->mean[c] += (double)v;
            t->most[c] = fmaxf(t->most[c], v);
        }
    t->rows += rows;
}

static sqz_status measure(const visit *v, sqz_interface *f, sqz_arena *a)
{
    const size_t n = f->n, count = sqz_flow_count(v->flow, SQZ_FLOAT_SIDE, f->x);
    totals t = {.g = sqz_arena_alloc(a, n * n, sizeof *t.g),
                .mean = sqz_arena_alloc(a, n, sizeof *t.mean),
                .most = sqz_arena_alloc(a, n, sizeof *t.most),
                .block = sqz_arena_alloc(a, n * n, sizeof *t.block)};
    float *mean = sqz_arena_alloc(a, n, sizeof *mean), *x = sqz_arena_alloc(a, count, sizeof *x);
    if (!t.g || !t.mean || !t.most || !t.block || !mean || !x)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < sqz_flow_batches(v->flow); i++) {
        SQZ_TRY(sqz_flow_read(v->flow, SQZ_FLOAT_SIDE, f->x, i, x));
        see_rows(f, &t, x, count / n);
        for (size_t j = 0; j < count; j++) {
            f->lo = fminf(f->lo, x[j]);
            f->hi = fmaxf(f->hi, x[j]);
        }
    }
    for (size_t i = 0; i < n * n; i++)
        t.block[i] = (float)(t.g[i] / (double)SQZ_MAX(t.rows, 1u));
    for (size_t c = 0; c < n; c++)
        mean[c] = (float)(t.mean[c] / (double)SQZ_MAX(t.rows, 1u));
    f->g = t.block;
    f->mean = mean;
    f->most = t.most;
    return SQZ_OK;
}

static bool is_dense(const sqz_scaled *l) { return l->cols == l->ins; }

/* Layers of x from number `first` on. */
static sqz_status gather(const visit *v, uint32_t first, sqz_interface *f, sqz_arena *a)
{
    const sqz_scaling *k = v->k;
    f->linear = sqz_arena_alloc(a, k->n_linear, sizeof *f->linear);
    f->class = sqz_arena_alloc(a, f->n, sizeof *f->class);
    if (!f->linear || !f->class)
        return SQZ_E_NOMEM;
    for (uint32_t i = first; i < k->n_linear; i++)
        if (k->linear[i].x == f->x && is_dense(&k->linear[i]))
            f->linear[f->n_linear++] = &k->linear[i];
    bool before = false;
    for (size_t c = 0; c < f->n; c++) {
        f->class[c] = sqz_channel_free(k, k->linear[first].in[c]);
        if (f->class[c] == SQZ_NONE)
            continue;
        f->free = true;
        before = before || v->scaled[f->class[c]];
        v->scaled[f->class[c]] = true;
    }
    f->free = f->free && !before;
    return SQZ_OK;
}

static sqz_status visit_one(const visit *v, uint32_t first, sqz_interface_fn see, void *user)
{
    const sqz_scaled *l = &v->k->linear[first];
    sqz_arena a = {.ctx = v->k->g->ctx};
    sqz_interface f = {.k = v->k, .x = l->x, .n = l->ins};
    sqz_status s = gather(v, first, &f, &a);
    if (s == SQZ_OK)
        s = sqz_flow_advance(v->flow, l->node);
    if (s == SQZ_OK)
        s = measure(v, &f, &a);
    if (s == SQZ_OK)
        s = see(user, &f);
    sqz_arena_free(&a);
    return sqz_note(v->k->g->ctx, s, "node '%s'", sqz_nod(v->k->g, l->node)->name);
}

static sqz_status visit_all(const visit *v, sqz_interface_fn see, void *user)
{
    const sqz_scaling *k = v->k;
    for (uint32_t i = 0; i < k->n_linear; i++) {
        const sqz_scaled *l = &k->linear[i];
        bool done = !is_dense(l) || l->ins > CHANNELS_MAX;
        for (uint32_t j = 0; j < i && !done; j++)
            done = k->linear[j].x == l->x && is_dense(&k->linear[j]);
        if (!done)
            SQZ_TRY(visit_one(v, i, see, user));
        if (!sqz_progress(k->g->ctx, "scale channels", i + 1, k->n_linear))
            return sqz_fail(k->g->ctx, SQZ_E_ARG, "stopped");
    }
    return SQZ_OK;
}

static sqz_status visit_each(sqz_scaling *k, const sqz_env *env, sqz_interface_fn see, void *user)
{
    const sqz_flow_options o = {
        .ds = env->calib, .layout = env->layout, .samples = env->samples, .batch = env->batch};
    visit v = {.k = k, .scaled = sqz_arena_alloc(k->a, k->n + 1u, sizeof *v.scaled)};
    if (!v.scaled)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_flow_open(k->g, NULL, &o, &v.flow));
    sqz_status s = visit_all(&v, see, user);
    sqz_flow_close(v.flow);
    return s;
}

static sqz_status scale(sqz_graph *g, const sqz_env *env, sqz_interface_fn see, void *user,
                        sqz_arena *a)
{
    sqz_scaling k;
    uint32_t changed;
    SQZ_TRY(sqz_scaling_find(g, a, &k));
    sqz_scaling_hold_clips(&k);
    SQZ_TRY(visit_each(&k, env, see, user));
    return sqz_scaling_apply(&k, &changed);
}

sqz_status sqz_interfaces_scale(sqz_graph *g, const sqz_env *env, const char *pass,
                                sqz_interface_fn see, void *user)
{
    sqz_arena a = {.ctx = g->ctx};
    SQZ_TRY(ready(g, env, pass));
    sqz_status s = scale(g, env, see, user, &a);
    sqz_arena_free(&a);
    return s;
}

void sqz_interface_factors(const sqz_interface *f, const float *t)
{
    for (size_t c = 0; c < f->n && f->free; c++)
        if (f->class[c] != SQZ_NONE)
            f->k->s[f->class[c]] = (double)t[c];
}
