/* bias_correct_analytic: biases that make up for the mean error of rounded weights, without data
 * (Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction",
 * section 4.2). Batch norms say that x is normal before its clamp [a, b]; with A = (a - m) / s, B =
 * (b - m) / s
 *
 *   E[x] = s (phi(A) - phi(B)) + m (Phi(B) - Phi(A)) + a Phi(A) + b (1 - Phi(B))
 *
 * and b~ = b + (W - W~) E[x]. Layers whose input no batch norm describes stay. */
#include "quant/site.h"
#include <math.h>
#include <string.h>

typedef struct channels { /* of a value: normal, then clamped; n 0: not known */
    size_t n;
    double *mean, *sd, *lo, *hi;
} channels;

typedef struct work {
    sqz_graph *g;
    const sqz_graph *f;
    sqz_arena *a;
    channels *of; /* by value of f */
} work;

/* ---- what is known of values ---- */

static double expected(const channels *c, size_t i)
{
    const double m = c->mean[i], s = c->sd[i], lo = c->lo[i], hi = c->hi[i];
    if (!(s > 0))
        return fmin(fmax(m, lo), hi);
    const double a = (lo - m) / s, b = (hi - m) / s;
    const double pa = 0.5 * erfc(-a / sqrt(2)), pb = 0.5 * erfc(-b / sqrt(2));
    const double da = exp(-a * a / 2) / sqrt(2 * M_PI), db = exp(-b * b / 2) / sqrt(2 * M_PI);
    return s * (da - db) + m * (pb - pa) + (isfinite(lo) ? lo * pa : 0) +
           (isfinite(hi) ? hi * (1 - pb) : 0);
}

static sqz_status make(const work *w, size_t n, channels *c)
{
    double *all = sqz_arena_alloc(w->a, 4 * n + 1, sizeof *all);
    if (!all)
        return SQZ_E_NOMEM;
    *c = (channels){n, all, all + n, all + 2 * n, all + 3 * n};
    for (size_t i = 0; i < n; i++) {
        c->lo[i] = -INFINITY;
        c->hi[i] = INFINITY;
    }
    return SQZ_OK;
}

static sqz_status copy(const work *w, const channels *from, channels *to)
{
    SQZ_TRY(make(w, from->n, to));
    memcpy(to->mean, from->mean, 4 * from->n * sizeof *to->mean);
    return SQZ_OK;
}

static bool is_op(const sqz_node *n, const char *name)
{
    return strcmp(n->op->info.name, name) == 0;
}

static double bound_of(const sqz_node *n, const char *name)
{
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (strcmp(n->op->info.opts[i].name, name) == 0)
            return *(const double *)sqz_opt_field(&n->op->info.opts[i], n->attrs);
    return NAN;
}

static void clamp(channels *c, size_t i, double lo, double hi)
{
    c->lo[i] = fmin(fmax(c->lo[i], lo), hi);
    c->hi[i] = fmin(fmax(c->hi[i], lo), hi);
}

/* min(x, k) with one k, or one for each channel. */
static sqz_status pass_min(const work *w, const sqz_node *n, channels *out)
{
    const bool first = sqz_val(w->f, n->in[0])->constant != NULL;
    const channels *x = &w->of[n->in[first ? 1 : 0]];
    const sqz_tensor *k = sqz_val(w->f, n->in[first ? 0 : 1])->constant;
    if (!x->n || !k || k->dtype != SQZ_F32 || (k->count != 1 && k->count != x->n))
        return SQZ_OK;
    SQZ_TRY(copy(w, x, out));
    for (size_t i = 0; i < x->n; i++)
        clamp(out, i, -INFINITY, (double)SQZ_F32P(k)[k->count == 1 ? 0 : i]);
    return SQZ_OK;
}

/* Only the mean is known of sums and averages. */
static sqz_status pass_mean(const work *w, const sqz_node *n, channels *out)
{
    const channels *x = &w->of[n->in[0]], *y = is_op(n, "add") ? &w->of[n->in[1]] : NULL;
    if (!x->n || (y && y->n != x->n))
        return SQZ_OK;
    SQZ_TRY(make(w, x->n, out));
    for (size_t i = 0; i < x->n; i++)
        out->mean[i] = expected(x, i) + (y ? expected(y, i) : 0);
    return SQZ_OK;
}

static sqz_status look(const work *w, const sqz_node *n, channels *out)
{
    static const char *const same[] = {"identity", "pad", "flatten", "reshape", "squeeze"};
    static const char *const mean[] = {"average_pool", "global_average_pool", "add"};
    const bool relu = is_op(n, "relu"), clip = is_op(n, "clip");
    if (is_op(n, "min") && n->n_in == 2)
        return pass_min(w, n, out);
    for (size_t i = 0; i < SQZ_COUNT(mean); i++)
        if (is_op(n, mean[i]))
            return pass_mean(w, n, out);
    bool copies = relu || clip;
    for (size_t i = 0; i < SQZ_COUNT(same); i++)
        copies = copies || is_op(n, same[i]);
    if (!copies || !w->of[n->in[0]].n)
        return SQZ_OK;
    SQZ_TRY(copy(w, &w->of[n->in[0]], out));
    for (size_t i = 0; i < out->n && (relu || clip); i++)
        clamp(out, i, relu ? 0 : bound_of(n, "min"), relu ? INFINITY : bound_of(n, "max"));
    return SQZ_OK;
}

static sqz_status look_at_all(work *w)
{
    w->of = sqz_arena_alloc(w->a, w->f->n_value + 1u, sizeof *w->of);
    if (!w->of)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(w->f, id)
    {
        const sqz_node *n = sqz_nod(w->f, id);
        if (n->n_out != 1 || n->n_in < 1 || n->in[0] == SQZ_NONE)
            continue;
        const sqz_value *y = sqz_val(w->f, n->out[0]);
        channels *c = &w->of[n->out[0]];
        if (!y->normal)
            SQZ_TRY(look(w, n, c));
        else
            SQZ_TRY(make(w, y->normal->n, c));
        for (size_t i = 0; i < c->n && y->normal; i++) {
            c->mean[i] = (double)y->normal->mean[i];
            c->sd[i] = (double)y->normal->sd[i];
        }
        /* channels lie along the last axis, or nothing is known */
        if (y->shape.rank < 1 || (size_t)y->shape.dim[y->shape.rank - 1] != c->n)
            c->n = 0;
    }
    return SQZ_OK;
}

/* ---- sites ---- */

/* Share of the outputs for which the tap lies inside of the input and not in the padding. */
static double inside(const sqz_site *s, size_t tap)
{
    double share = 1;
    for (int a = SQZ_WINDOW_AXES - 1; a >= 0 && s->window_op; a--) {
        const sqz_window *v = &s->window;
        const int64_t k = (int64_t)(tap % (size_t)v->k[a]);
        int64_t n = 0;
        tap /= (size_t)v->k[a];
        for (int64_t o = 0; o < v->out[a]; o++) {
            const int64_t i = o * v->stride[a] + k * v->dil[a] - v->begin[a];
            n += i >= 0 && i < v->in[a];
        }
        share *= (double)n / (double)SQZ_MAX(v->out[a], 1);
    }
    return share;
}

static sqz_status correct(const work *w, sqz_site *s, sqz_arena *a, size_t *capped)
{
    const size_t count = s->rows * s->cols;
    const channels *x = &w->of[s->x];
    float *f = sqz_arena_alloc(a, count, sizeof *f),
          *scale = sqz_arena_alloc(a, count, sizeof *scale);
    int8_t *codes = sqz_arena_alloc(a, count, sizeof *codes);
    int32_t *zero = sqz_arena_alloc(a, count, sizeof *zero);
    double *b = sqz_arena_alloc(a, s->rows, sizeof *b),
           *at = sqz_arena_alloc(a, s->taps, sizeof *at);
    if (!f || !scale || !codes || !zero || !b || !at)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_site_weights(w->f, s, f));
    SQZ_TRY(sqz_site_codes(w->g, s, codes));
    SQZ_TRY(sqz_site_grid(w->g, s, scale, zero));
    SQZ_TRY(sqz_site_bias(w->f, s, b));
    for (size_t t = 0; t < s->taps; t++)
        at[t] = inside(s, t);
    for (size_t r = 0; r < s->rows; r++)
        for (size_t c = 0; c < s->cols; c++) {
            const size_t i = r * s->cols + c;
            const double e = expected(x, sqz_site_group(s, r) * s->depth + c % s->depth);
            b[r] += ((double)f[i] - (double)scale[i] * (codes[i] - zero[i])) * e * at[c / s->depth];
        }
    return sqz_site_set_bias(w->g, s, b, capped);
}

static sqz_status correct_all(work *w, const sqz_env *env)
{
    sqz_site *s;
    uint32_t n, known = 0;
    size_t capped = 0;
    SQZ_TRY(look_at_all(w));
    SQZ_TRY(sqz_sites(w->f, w->g, w->a, &s, &n));
    for (uint32_t i = 0; i < n; i++) {
        sqz_arena a = {.ctx = w->g->ctx};
        size_t cut = 0;
        if (s[i].transposed || !s[i].bias_slot || w->of[s[i].x].n != s[i].c_in)
            continue;
        const sqz_status st = correct(w, &s[i], &a, &cut);
        sqz_arena_free(&a);
        SQZ_TRY(sqz_note(w->g->ctx, st, "node '%s'", sqz_nod(w->g, s[i].node)->name));
        capped += cut;
        known++;
    }
    SQZ_INFO(w->g->ctx,
             "bias_correct_analytic: %u of %u layers have inputs that batch norms describe", known,
             n);
    if (!known && env->notes)
        sqz_str_add(env->notes, "bias_correct_analytic did nothing: no batch norm of the model "
                                "describes the input of a layer\n");
    if (capped)
        SQZ_WARN(w->g->ctx, "bias_correct_analytic: %zu biases are as large as they can be",
                 capped);
    return SQZ_OK;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    (void)opts;
    sqz_arena a = {.ctx = g->ctx};
    work w = {.g = g, .a = &a};
    SQZ_TRY(sqz_reference(g, env, "bias_correct_analytic", &w.f));
    sqz_status s = correct_all(&w, env);
    sqz_arena_free(&a);
    return s;
}

const sqz_pass sqz_pass_bias_correct_analytic = {
    .info = {.name = "bias_correct_analytic",
             .doc =
                 "biases make up for the mean error of rounded weights, by what batch norms say"},
    .needs = SQZ_HAS_QUANT,
    .run = run,
};
