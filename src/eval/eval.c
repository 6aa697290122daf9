/* eval.c: accuracy of a graph on data. */
#include "eval/eval.h"
#include "eval/layers.h"
#include "eval/own.h"
#include "eval/runner.h"
#include <math.h>
#include <string.h>

typedef struct slot { /* one metric being computed */
    const sqz_metric *metric;
    const char *spec;
    void *opts, *state;
} slot;

typedef struct work {
    const sqz_graph *g;
    sqz_dataset *ds;
    const sqz_eval_options *opt;
    sqz_eval_result *res;
    slot slot[16];
    unsigned n_slot;
    sqz_layer_error *layer;
    uint32_t n_layer;
    sqz_own *own;
    size_t label_row, input_row;
} work;

/* ---- which metrics ---- */
static sqz_status unknown_metric(sqz_ctx *ctx, const char *name)
{
    const char *names[64];
    size_t n = 0;
    for (size_t i = 0; i < sqz_n_metrics && n < SQZ_COUNT(names); i++)
        names[n++] = sqz_metrics[i]->info.name;
    const char *near = sqz_nearest(name, names, n, sizeof names[0]);
    return sqz_fail(ctx, SQZ_E_ARG, "no metric '%s'%s%s%s", name, near ? "; did you mean '" : "",
                    near ? near : "", near ? "'?" : "");
}

static sqz_status add_slot(work *w, const char *spec, size_t len)
{
    sqz_ctx *ctx = w->g->ctx;
    sqz_arena *a = &w->res->arena;
    size_t name_len = SQZ_MIN(len, strcspn(spec, "("));
    char *name = sqz_arena_strndup(a, spec, name_len), *text = sqz_arena_strndup(a, spec, len);
    if (!name || !text)
        return SQZ_E_NOMEM;
    if (w->n_slot == SQZ_COUNT(w->slot))
        return sqz_fail(ctx, SQZ_E_LIMIT, "at most %zu metrics", SQZ_COUNT(w->slot));
    const sqz_metric *m = sqz_metric_find(name);
    if (!m)
        return unknown_metric(ctx, name);
    slot *s = &w->slot[w->n_slot];
    *s = (slot){.metric = m, .spec = text};
    s->opts = sqz_arena_alloc(a, SQZ_MAX(m->info.opt_size, 1), 1);
    s->state = sqz_arena_alloc(a, m->state_bytes, 1);
    if (!s->opts || !s->state)
        return SQZ_E_NOMEM;
    sqz_opts_default(&m->info, s->opts);
    if (name_len < len) {
        if (spec[len - 1] != ')')
            return sqz_fail(ctx, SQZ_E_ARG, "metric '%s': ')' is missing", text);
        char *opts = sqz_arena_strndup(a, spec + name_len + 1, len - name_len - 2);
        if (!opts)
            return SQZ_E_NOMEM;
        SQZ_TRY(sqz_note(ctx, sqz_opts_parse(a, &m->info, opts, s->opts), "metric '%s'", name));
    }
    w->n_slot++;
    return SQZ_OK;
}

static sqz_status check_slot(const work *w, const slot *s)
{
    sqz_ctx *ctx = w->g->ctx;
    unsigned needs = s->metric->needs;
    if ((needs & (SQZ_M_CLASSES | SQZ_M_VALUES)) && !w->ds->has_labels)
        return sqz_fail(ctx, SQZ_E_ARG, "metric '%s' needs labels, and '%s' has none (array 'y')",
                        s->spec, w->ds->path);
    if ((needs & SQZ_M_CLASSES) && w->ds->classes == 0)
        return sqz_fail(ctx, SQZ_E_ARG,
                        "metric '%s' needs class numbers, and the labels of '%s' are real numbers",
                        s->spec, w->ds->path);
    if ((needs & SQZ_M_REFERENCE) && !w->opt->reference && !w->opt->reference_output)
        return sqz_fail(ctx, SQZ_E_ARG, "metric '%s' needs a reference model (--against)", s->spec);
    return SQZ_OK;
}

static sqz_status choose_metrics(work *w)
{
    const char *list = w->opt->metrics;
    if (!list)
        list = !w->ds->has_labels   ? ""
               : w->ds->classes > 0 ? (w->ds->classes > 10 ? "top1,top5" : "top1")
                                    : "mse,mae";
    while (*list) {
        size_t len = 0, depth = 0;
        for (; list[len] && (list[len] != ',' || depth); len++)
            depth += (list[len] == '(') - (size_t)(list[len] == ')' && depth);
        SQZ_TRY(add_slot(w, list, len));
        list += len + (list[len] == ',');
    }
    if ((w->opt->reference || w->opt->reference_output) && !w->opt->metrics) {
        SQZ_TRY(add_slot(w, "agreement", 9));
        SQZ_TRY(add_slot(w, "snr", 3));
    }
    for (unsigned i = 0; i < w->n_slot; i++)
        SQZ_TRY(check_slot(w, &w->slot[i]));
    if (w->n_slot == 0 && !w->opt->metrics)
        return sqz_fail(
            w->g->ctx, SQZ_E_ARG,
            "'%s' has no labels (array 'y') to judge by, and no reference model is given",
            w->ds->path);
    return SQZ_OK;
}

/* ---- one batch ---- */
static sqz_status keep(work *w, const sqz_runner_batch *b, size_t row)
{
    if (!w->res->output) {
        int64_t total = w->opt->limit > 0 ? SQZ_MIN(w->opt->limit, w->ds->n) : w->ds->n;
        w->res->output = sqz_arena_alloc(&w->res->arena, (size_t)total * row, sizeof(float));
        if (!w->res->output)
            return SQZ_E_NOMEM;
        w->res->row = row;
    }
    memcpy(w->res->output + (size_t)b->first * row, b->output, (size_t)b->n * row * sizeof(float));
    return SQZ_OK;
}

typedef struct seer {
    work *w;
    const sqz_runner *r;
} seer;

static sqz_status see(void *user, const sqz_runner_batch *b)
{
    work *w = ((seer *)user)->w;
    size_t row = ((seer *)user)->r->row;
    const sqz_metric_batch mb = {.pred = b->output,
                                 .label = b->label,
                                 .input = b->data,
                                 .reference = b->reference,
                                 .n = b->n,
                                 .classes = w->ds->classes,
                                 .row = row,
                                 .label_row = w->label_row,
                                 .input_row = w->input_row};
    for (unsigned i = 0; i < w->n_slot; i++)
        SQZ_TRY(sqz_note(w->g->ctx,
                         w->slot[i].metric->add(w->g->ctx, w->slot[i].state, w->slot[i].opts, &mb),
                         "metric '%s'", w->slot[i].spec));
    if (w->opt->layers) {
        sqz_layers_add(w->g, b, w->layer, w->n_layer);
        SQZ_TRY(sqz_own_add(w->own, b, w->layer));
    }
    return w->opt->keep_outputs ? keep(w, b, row) : SQZ_OK;
}

/* ---- results ---- */
static sqz_status finish_metrics(work *w)
{
    sqz_eval_result *res = w->res;
    res->metric = sqz_arena_alloc(&res->arena, w->n_slot + 1u, sizeof *res->metric);
    if (!res->metric)
        return SQZ_E_NOMEM;
    for (unsigned i = 0; i < w->n_slot; i++) {
        sqz_eval_metric *m = &res->metric[res->n_metric++];
        *m = (sqz_eval_metric){.metric = w->slot[i].metric, .spec = w->slot[i].spec};
        SQZ_TRY(sqz_note(w->g->ctx,
                         w->slot[i].metric->value(w->g->ctx, w->slot[i].state, w->slot[i].opts,
                                                  &m->value, &m->se),
                         "metric '%s'", w->slot[i].spec));
    }
    return SQZ_OK;
}

static double decibels(double signal, double noise)
{
    return noise > 0.0 ? 10.0 * log10(signal / noise) : 200.0;
}

static double cosine(double dot, double a, double b)
{
    double norms = sqrt(a) * sqrt(b);
    return norms > 0.0 ? dot / norms : 1.0;
}

/* Values of the reference against the grid that they have to fit on. */
static void paint(const sqz_layer_error *e, const sqz_quant *q, sqz_dtype d, sqz_eval_layer *l)
{
    const sqz_hist *h = e->histogram;
    l->grid_lo = l->grid_hi = NAN;
    l->pic_lo = e->r_lo;
    l->pic_hi = e->r_hi;
    if (q) {
        double half = ldexp(1.0, (int)sqz_dtype_bits(d) - 1);
        double lo = d == SQZ_U8 ? 0.0 : -half, hi = d == SQZ_U8 ? 255.0 : half - 1.0;
        l->grid_lo = (float)((double)q->scale[0] * (lo - q->zero[0]));
        l->grid_hi = (float)((double)q->scale[0] * (hi - q->zero[0]));
        l->pic_lo = SQZ_MIN(l->pic_lo, l->grid_lo);
        l->pic_hi = SQZ_MAX(l->pic_hi, l->grid_hi);
        l->outside = sqz_hist_outside(h, (sqz_range){l->grid_lo, l->grid_hi});
    }
    double wide = (double)l->pic_hi - (double)l->pic_lo;
    for (size_t i = 0; i < SQZ_HIST_BINS && wide > 0.0; i++) {
        double mid = 0.5 * (sqz_hist_edge(h, i) + sqz_hist_edge(h, i + 1));
        double at = (mid - (double)l->pic_lo) / wide * SQZ_PICTURE;
        l->picture[at <= 0.0 ? 0 : at >= SQZ_PICTURE ? SQZ_PICTURE - 1 : (size_t)at] += h->bin[i];
    }
}

static sqz_status finish_layers(work *w)
{
    sqz_eval_result *res = w->res;
    res->layer = sqz_arena_alloc(&res->arena, w->n_layer + 1u, sizeof *res->layer);
    if (!res->layer)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < w->n_layer; i++) {
        const sqz_layer_error *e = &w->layer[i];
        const sqz_value *v = sqz_val(w->g, e->value);
        const sqz_node *n = sqz_nod(w->g, e->node);
        sqz_eval_layer *l = &res->layer[res->n_layer++];
        *l = (sqz_eval_layer){.name = sqz_arena_strdup(&res->arena, v->name),
                              .node = sqz_arena_strdup(&res->arena, n->name),
                              .op = n->op->info.name,
                              .id = e->node,
                              .snr_db = decibels(e->signal, e->noise),
                              .cosine = cosine(e->dot, e->signal, e->square),
                              .own_db = decibels(e->signal, e->own_noise),
                              .own_cosine = cosine(e->own_dot, e->signal, e->own_square),
                              .gain = e->signal > 0.0 ? e->own_dot / e->signal : 1.0,
                              .saturated = e->count ? (double)e->saturated / (double)e->count : 0.0,
                              .lo = e->lo,
                              .hi = e->hi,
                              .ref_lo = e->r_lo,
                              .ref_hi = e->r_hi};
        if (!l->name || !l->node)
            return SQZ_E_NOMEM;
        paint(e, v->quant, v->dtype, l);
    }
    return SQZ_OK;
}

static sqz_status evaluate(work *w)
{
    sqz_ctx *ctx = w->g->ctx;
    size_t unused;
    SQZ_TRY(choose_metrics(w));
    SQZ_TRY(sqz_shape_count(ctx, &w->ds->label_shape, SQZ_F32, &w->label_row, &unused));
    SQZ_TRY(sqz_shape_count(ctx, &w->ds->shape, SQZ_F32, &w->input_row, &unused));
    if (w->opt->layers)
        SQZ_TRY(sqz_layers_pair(&w->res->arena, w->g, w->opt->reference, &w->layer, &w->n_layer));
    if (w->opt->layers)
        SQZ_TRY(sqz_own_open(w->g, w->layer, w->n_layer, &w->own));
    sqz_runner r = {.graph = w->g,
                    .reference = w->opt->reference,
                    .reference_output = w->opt->reference_output,
                    .ds = w->ds,
                    .layout = w->opt->layout,
                    .what = "evaluate",
                    .limit = w->opt->limit,
                    .batch = w->opt->batch,
                    .profile = w->opt->profile,
                    .keep_all = w->opt->layers,
                    .see = see};
    seer se = {w, &r};
    r.user = &se;
    SQZ_TRY(sqz_runner_run(&r));
    w->res->samples = r.samples;
    w->res->seconds = r.seconds;
    SQZ_TRY(finish_metrics(w));
    return w->opt->layers ? finish_layers(w) : SQZ_OK;
}

sqz_status sqz_eval_graph(const sqz_graph *g, sqz_dataset *ds, const sqz_eval_options *opt,
                          sqz_eval_result **out)
{
    *out = NULL;
    if (opt->layers && !opt->reference)
        return sqz_fail(g->ctx, SQZ_E_ARG, "per-layer error needs a reference model (--against)");
    sqz_eval_result *res = sqz_calloc(g->ctx, 1, sizeof *res);
    if (!res)
        return SQZ_E_NOMEM;
    res->arena.ctx = g->ctx;
    work w = {.g = g, .ds = ds, .opt = opt, .res = res};
    sqz_status s = evaluate(&w);
    for (unsigned i = 0; i < w.n_slot; i++)
        if (w.slot[i].metric->end)
            w.slot[i].metric->end(g->ctx, w.slot[i].state);
    sqz_own_close(w.own);
    if (s != SQZ_OK) {
        sqz_eval_free(g->ctx, res);
        return s;
    }
    *out = res;
    return SQZ_OK;
}

void sqz_eval_free(sqz_ctx *ctx, sqz_eval_result *r)
{
    if (!r)
        return;
    sqz_arena_free(&r->arena);
    sqz_free(ctx, r);
}
