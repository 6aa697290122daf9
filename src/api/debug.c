/* debug.c: which layer of a quantized model is to blame, and what leaving it float would gain and
 * cost. */
#include "api/work.h"
#include "eval/without.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLLAPSED   10.0 /* dB: below, hardly anything of the signal is left */
#define EXCLUDE_MAX 8    /* layers that are tried float */
#define TRY_SAMPLES 128

/* ---- pictures of values ---- */

/* Bars grow with the logarithm: tails are what matters. */
static unsigned height(uint64_t n, uint64_t most, unsigned full)
{
    if (n == 0 || most == 0)
        return 0;
    double part = log1p((double)n) / log1p((double)most);
    return 1 + (unsigned)(part * (full - 1) + 0.5);
}

static uint64_t tallest(const uint64_t *bar, unsigned n)
{
    uint64_t most = 0;
    for (unsigned i = 0; i < n; i++)
        most = SQZ_MAX(most, bar[i]);
    return most;
}

/* Place of a number in a picture of n parts. */
static unsigned place(const sqz_eval_layer *l, float v, unsigned n)
{
    double wide = (double)l->pic_hi - (double)l->pic_lo;
    double at = wide > 0.0 ? ((double)v - (double)l->pic_lo) / wide * n : 0.0;
    return at <= 0.0 ? 0 : at >= n ? n - 1 : (unsigned)at;
}

enum { SPARKS = SQZ_PICTURE / 2 };

/* One line for a terminal; the grid's ends stand in brackets. */
static void sparkline(const sqz_eval_layer *l, char out[4 * SPARKS + 8])
{
    static const char *const bar[] = {" ",
                                      "\xe2\x96\x81",
                                      "\xe2\x96\x82",
                                      "\xe2\x96\x83",
                                      "\xe2\x96\x84",
                                      "\xe2\x96\x85",
                                      "\xe2\x96\x86",
                                      "\xe2\x96\x87",
                                      "\xe2\x96\x88"};
    uint64_t n[SPARKS];
    for (unsigned i = 0; i < SPARKS; i++)
        n[i] = l->picture[2 * i] + l->picture[2 * i + 1];
    uint64_t most = tallest(n, SPARKS);
    bool grid = !isnan(l->grid_lo);
    char *p = out;
    for (unsigned i = 0; i < SPARKS; i++) {
        if (grid && i == place(l, l->grid_lo, SPARKS))
            *p++ = '[';
        const char *b = bar[height(n[i], most, 8)];
        size_t len = strlen(b);
        memcpy(p, b, len);
        p += len;
        if (grid && i == place(l, l->grid_hi, SPARKS))
            *p++ = ']';
    }
    *p = '\0';
}

static void draw(sqz_work *w, const sqz_eval_layer *l)
{
    sqz_str svg = {.ctx = w->ctx};
    char lo[32], hi[32], caption[512];
    uint64_t most = tallest(l->picture, SQZ_PICTURE);
    sqz_str_add(&svg, "<svg viewBox=\"0 0 256 84\" role=\"img\">");
    if (!isnan(l->grid_lo)) {
        unsigned a = place(l, l->grid_lo, 256), b = place(l, l->grid_hi, 256);
        sqz_str_addf(&svg, "<rect x=\"%u\" y=\"0\" width=\"%u\" height=\"70\" fill=\"#dceafc\"/>",
                     a, b - a + 1);
    }
    for (unsigned i = 0; i < SQZ_PICTURE; i++) {
        unsigned h = height(l->picture[i], most, 64);
        float mid = l->pic_lo + (l->pic_hi - l->pic_lo) * ((float)i + 0.5f) / SQZ_PICTURE;
        bool out = !isnan(l->grid_lo) && (mid < l->grid_lo || mid > l->grid_hi);
        if (h)
            sqz_str_addf(&svg, "<rect x=\"%u\" y=\"%u\" width=\"7\" height=\"%u\" fill=\"%s\"/>",
                         8 * i, 70 - h, h, out ? SQZ_COLOR_BAD : SQZ_COLOR_GOOD);
    }
    (void)snprintf(lo, sizeof lo, "%.3g", (double)l->pic_lo);
    (void)snprintf(hi, sizeof hi, "%.3g", (double)l->pic_hi);
    sqz_str_addf(&svg,
                 "<text x=\"2\" y=\"81\" font-size=\"10\">%s</text><text x=\"254\" y=\"81\" "
                 "font-size=\"10\" text-anchor=\"end\">%s</text></svg>",
                 lo, hi);
    (void)snprintf(caption, sizeof caption, "%s (%s): %.1f dB, own %.1f dB, outside %.3g %%",
                   l->node, l->op, l->snr_db, l->own_db, 100.0 * l->outside);
    if (svg.status == SQZ_OK)
        sqz_view_picture(w->rep, caption, svg.data);
    else
        w->rep->status = svg.status;
    sqz_str_free(&svg);
}

/* ---- every layer ---- */

#define NAME_MAX_SHOWN 48

/* The end of a long name: exporters put what tells nodes apart there. */
static const char *shown(char out[NAME_MAX_SHOWN + 8], const char *name)
{
    size_t n = strlen(name);
    if (n <= NAME_MAX_SHOWN)
        return name;
    (void)snprintf(out, NAME_MAX_SHOWN + 8, "...%s", name + n - NAME_MAX_SHOWN);
    return out;
}

static void layer_json(sqz_report *r, cJSON *list, const sqz_eval_layer *l)
{
    cJSON *o = sqz_json_object(r, list, NULL);
    sqz_json_str(r, o, "value", l->name);
    sqz_json_str(r, o, "node", l->node);
    sqz_json_str(r, o, "op", l->op);
    sqz_json_num(r, o, "snr_db", l->snr_db);
    sqz_json_num(r, o, "own_snr_db", l->own_db);
    sqz_json_num(r, o, "cosine", l->cosine);
    sqz_json_num(r, o, "own_cosine", l->own_cosine);
    sqz_json_num(r, o, "gain", l->gain);
    sqz_json_num(r, o, "saturated", l->saturated);
    sqz_json_num(r, o, "outside", l->outside);
    sqz_json_num(r, o, "low", (double)l->lo);
    sqz_json_num(r, o, "high", (double)l->hi);
    sqz_json_num(r, o, "reference_low", (double)l->ref_lo);
    sqz_json_num(r, o, "reference_high", (double)l->ref_hi);
    sqz_json_num(r, o, "grid_low", (double)l->grid_lo);
    sqz_json_num(r, o, "grid_high", (double)l->grid_hi);
    cJSON *p = sqz_json_object(r, o, "picture"), *n = NULL;
    sqz_json_num(r, p, "low", (double)l->pic_lo);
    sqz_json_num(r, p, "high", (double)l->pic_hi);
    n = sqz_json_array(r, p, "counts");
    for (unsigned i = 0; i < SQZ_PICTURE; i++)
        sqz_json_num(r, n, NULL, (double)l->picture[i]);
}

static void show_layers(sqz_work *w, const sqz_eval_result *res)
{
    sqz_report *r = w->rep;
    cJSON *list = sqz_json_array(r, NULL, "layers");
    sqz_view_heading(r, "Layers against the reference");
    sqz_view_table(r, "node|operator|>SNR dB|>own dB|>cosine|>saturated|>outside|values [grid]|"
                      ">low|>high");
    cJSON *config = sqz_chart_new("line"),
          *all = sqz_chart_series(config, "SNR, dB", SQZ_COLOR_GOOD),
          *own = sqz_chart_series(config, "own error alone, dB", SQZ_COLOR_BAD);
    for (uint32_t i = 0; i < res->n_layer; i++) {
        const sqz_eval_layer *l = &res->layer[i];
        char spark[4 * SPARKS + 8], name[NAME_MAX_SHOWN + 8];
        sparkline(l, spark);
        layer_json(r, list, l);
        sqz_view_row(r, "%s|%s|%.1f|%.1f|%.5f|%.3f %%|%.3f %%|%s|%.4g|%.4g", shown(name, l->node),
                     l->op, l->snr_db, l->own_db, l->cosine, 100.0 * l->saturated,
                     100.0 * l->outside, spark, (double)l->ref_lo, (double)l->ref_hi);
        sqz_chart_place(config, all, l->node, SQZ_MIN(l->snr_db, 100.0));
        (void)cJSON_AddItemToArray(own, cJSON_CreateNumber(SQZ_MIN(l->own_db, 100.0)));
    }
    sqz_view_chart(r,
                   "Signal to noise of each layer's output against the reference, and of what the "
                   "layer alone does to it, dB (higher is better)",
                   config);
    bool detail = r->detail;
    r->detail = true;
    sqz_view_heading(r, "Values of the reference (bars, logarithmic) against the grids (band)");
    for (uint32_t i = 0; i < res->n_layer; i++)
        draw(w, &res->layer[i]);
    r->detail = detail;
}

/* ---- who it is ---- */

typedef struct suspect {
    const sqz_eval_layer *layer;
    double snr_db, bytes, seconds; /* of the model with it float, and what that costs */
    uint64_t macs;
    bool tried;
} suspect;

static int by_own(const void *a, const void *b)
{
    const sqz_eval_layer *x = ((const suspect *)a)->layer, *y = ((const suspect *)b)->layer;
    if (x->own_db != y->own_db)
        return (x->own_db > y->own_db) - (x->own_db < y->own_db);
    return (x > y) - (x < y); /* execution order */
}

static int by_gain(const void *a, const void *b)
{
    const suspect *x = a, *y = b;
    if (x->snr_db != y->snr_db)
        return (x->snr_db < y->snr_db) - (x->snr_db > y->snr_db);
    return by_own(a, b);
}

/* Layers by their own error, worst first. */
static suspect *sorted(sqz_arena *a, const sqz_eval_result *r)
{
    suspect *s = sqz_arena_alloc(a, r->n_layer + 1u, sizeof *s);
    for (uint32_t i = 0; s && i < r->n_layer; i++)
        s[i] = (suspect){.layer = &r->layer[i], .snr_db = NAN};
    if (s)
        qsort(s, r->n_layer, sizeof *s, by_own);
    return s;
}

/* All of its output is the reference's times a factor. */
static bool is_scaled(const sqz_eval_layer *l)
{
    return l->own_cosine > 0.99 && (l->gain > 1.5 || l->gain < 0.67);
}

/* How much wider its grid is than what has to fit on it: calibrated behind a layer that gives
 * larger values than the reference's, it is a victim. */
static double too_wide(const sqz_eval_layer *l)
{
    double need = fmax((double)l->ref_hi, 0.0) - fmin((double)l->ref_lo, 0.0);
    double have = (double)l->grid_hi - (double)l->grid_lo;
    return !isnan(have) && need > 0.0 ? have / need : 1.0;
}

static bool is_guilty(const sqz_eval_layer *l)
{
    return l->own_db < COLLAPSED && (is_scaled(l) || too_wide(l) < 8.0);
}

/* A sentence about a layer whose own error is large. */
static char *blame(sqz_arena *a, const sqz_eval_layer *l)
{
    if (is_scaled(l))
        return sqz_arena_printf(a,
                                "node '%s' (%s): its output is %.4g times the reference's: a scale "
                                "or a weight is wrong there",
                                l->node, l->op, l->gain);
    if (l->outside > 0.01)
        return sqz_arena_printf(a,
                                "node '%s' (%s): own error %.1f dB; %.1f %% of its values lie "
                                "outside of its grid",
                                l->node, l->op, l->own_db, 100.0 * l->outside);
    return sqz_arena_printf(a, "node '%s' (%s): own error %.1f dB", l->node, l->op, l->own_db);
}

static void show_guilty(sqz_work *w, const suspect *s, uint32_t n)
{
    sqz_report *r = w->rep;
    cJSON *list = sqz_json_array(r, NULL, "guilty");
    uint32_t bad = 0, wide = 0, behind = 0;
    for (uint32_t i = 0; i < n; i++) {
        const sqz_eval_layer *l = s[i].layer;
        bad += is_guilty(l);
        wide += !is_guilty(l) && l->own_db < COLLAPSED;
        behind += l->own_db >= COLLAPSED && l->snr_db < COLLAPSED;
    }
    if (bad)
        sqz_view_heading(r, "To blame");
    for (uint32_t i = 0; i < n; i++) {
        if (!is_guilty(s[i].layer))
            continue;
        char *text = blame(&w->arena, s[i].layer);
        sqz_json_str(r, list, NULL, s[i].layer->node);
        sqz_view_text(r, "- %s", text ? text : s[i].layer->node);
    }
    if (wide)
        sqz_view_text(r,
                      "%u layers have grids far wider than the reference's values, as they were "
                      "calibrated behind larger ones",
                      (unsigned)wide);
    if (bad && behind)
        sqz_view_text(r,
                      "%u more layers are far off because of what they are given: they are good "
                      "by themselves",
                      (unsigned)behind);
}

void sqz_note_collapse(sqz_work *w, const sqz_eval_result *r)
{
    sqz_arena a = {.ctx = w->ctx};
    suspect *s = sorted(&a, r);
    uint32_t n = 0;
    for (uint32_t i = 0; s && i < r->n_layer && n < 5; i++) {
        const sqz_eval_layer *l = s[i].layer;
        if (l->snr_db >= COLLAPSED && l->own_db >= COLLAPSED)
            continue;
        char *text = is_guilty(l) ? blame(&a, l) : NULL;
        if (text)
            sqz_str_addf(&w->notes, "%s\n", text);
        else
            sqz_str_addf(
                &w->notes,
                "node '%s' (%s) is only %.1f dB from the float model (own error %.1f dB)\n",
                l->node, l->op, l->snr_db, l->own_db);
        n++;
    }
    sqz_arena_free(&a);
}

/* ---- what leaving it float would do ---- */

typedef struct trial {
    sqz_work *w;
    const sqz_graph *g, *reference;
    sqz_dataset *ds;
    const float *wanted; /* outputs of the reference; NULL: too large, it runs again */
    double latency;      /* of g on the device; NaN: none */
} trial;

static sqz_status model_snr(const trial *t, const sqz_graph *g, double *out)
{
    const sqz_eval_options o = {.layout = t->w->job.layout,
                                .metrics = "snr",
                                .limit = TRY_SAMPLES,
                                .reference = t->wanted ? NULL : t->reference,
                                .reference_output = t->wanted};
    sqz_eval_result *r;
    SQZ_TRY(sqz_eval_graph(g, t->ds, &o, &r));
    *out = r->metric[0].value;
    sqz_eval_free(t->w->ctx, r);
    return SQZ_OK;
}

static sqz_status latency_of(const trial *t, const sqz_graph *g, double *out)
{
    sqz_estimate *e;
    *out = NAN;
    if (!t->w->device)
        return SQZ_OK;
    SQZ_TRY(sqz_estimate_graph(g, t->w->device, &e));
    *out = e->latency;
    sqz_estimate_free(t->w->ctx, e);
    return SQZ_OK;
}

/* The number of a node that has taken the place of an earlier one: it was made last. */
static double float_bytes(const sqz_graph *reference, const char *node)
{
    SQZ_EACH_NODE(reference, id)
    if (strcmp(sqz_nod(reference, id)->name, node) == 0)
        return sqz_node_constant_bytes(reference, id);
    return 0.0;
}

static sqz_status try_float(const trial *t, suspect *s)
{
    sqz_graph *g;
    sqz_cost c;
    double latency;
    sqz_node_cost(t->g, sqz_nod(t->g, s->layer->id), &c);
    s->macs = c.macs;
    s->bytes = float_bytes(t->reference, s->layer->node) -
               sqz_node_constant_bytes(t->g, s->layer->id);
    SQZ_TRY(sqz_graph_clone(t->g, &g));
    sqz_status st = sqz_graph_float_node(g, s->layer->id, t->reference);
    if (st == SQZ_OK)
        st = model_snr(t, g, &s->snr_db);
    if (st == SQZ_OK)
        st = latency_of(t, g, &latency);
    if (st == SQZ_OK) {
        s->seconds = latency - t->latency;
        s->tried = true;
    }
    sqz_graph_free(g);
    return st == SQZ_E_NOTFOUND ? SQZ_OK : st; /* fused or renamed: cannot be told */
}

static void show_exclusions(sqz_work *w, const suspect *s, uint32_t n, double now)
{
    sqz_report *r = w->rep;
    cJSON *list = sqz_json_array(r, NULL, "exclude");
    sqz_view_heading(r, "Leaving one layer float (the model is at %.1f dB now)", now);
    sqz_view_table(r, "node|operator|>own dB|>model dB|>gains dB|>costs bytes|>MACs|>costs time");
    for (uint32_t i = 0; i < n; i++) {
        char bytes[32], latency[32] = "", name[NAME_MAX_SHOWN + 8];
        if (!s[i].tried)
            continue;
        sqz_print_bytes(bytes, (uint64_t)fmax(s[i].bytes, 0.0));
        if (!isnan(s[i].seconds))
            sqz_print_seconds(latency, s[i].seconds);
        cJSON *o = sqz_json_object(r, list, NULL);
        sqz_json_str(r, o, "node", s[i].layer->node);
        sqz_json_num(r, o, "own_snr_db", s[i].layer->own_db);
        sqz_json_num(r, o, "snr_db", s[i].snr_db);
        sqz_json_num(r, o, "gain_db", s[i].snr_db - now);
        sqz_json_num(r, o, "bytes", s[i].bytes);
        sqz_json_num(r, o, "macs", (double)s[i].macs);
        sqz_json_num(r, o, "seconds", s[i].seconds);
        sqz_view_row(r, "%s|%s|%.1f|%.1f|%+.1f|%s|%llu|%s", shown(name, s[i].layer->node),
                     s[i].layer->op, s[i].layer->own_db, s[i].snr_db, s[i].snr_db - now, bytes,
                     (unsigned long long)s[i].macs, latency);
    }
}

static bool computes(const sqz_graph *g, const sqz_eval_layer *l)
{
    sqz_qkind k = sqz_nod(g, l->id)->op->quant.kind;
    return k == SQZ_Q_LINEAR || k == SQZ_Q_REALIGN || k == SQZ_Q_LUT;
}

static sqz_status rank(trial *t, suspect *s, uint32_t n)
{
    double now;
    uint32_t tried = 0;
    SQZ_TRY(model_snr(t, t->g, &now));
    SQZ_TRY(latency_of(t, t->g, &t->latency));
    for (uint32_t i = 0; i < n && tried < EXCLUDE_MAX; i++) {
        if (!computes(t->g, s[i].layer) || s[i].layer->own_db >= 100.0)
            continue;
        SQZ_TRY(try_float(t, &s[i]));
        tried += s[i].tried;
        if (!sqz_progress(t->w->ctx, "layers", tried, EXCLUDE_MAX))
            return sqz_fail(t->w->ctx, SQZ_E_ARG, "stopped");
    }
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++)
        if (s[i].tried)
            s[k++] = s[i];
    qsort(s, k, sizeof *s, by_gain);
    if (k)
        show_exclusions(t->w, s, k, now);
    return SQZ_OK;
}

#define KEEP_BYTES ((size_t)64 << 20)

static sqz_status rank_all(trial *t, suspect *s, uint32_t n)
{
    const sqz_eval_options o = {
        .layout = t->w->job.layout, .metrics = "", .limit = TRY_SAMPLES, .keep_outputs = true};
    sqz_eval_result *r = NULL;
    size_t count = 0, bytes = 0;
    SQZ_TRY(sqz_shape_count(t->w->ctx, &sqz_val(t->reference, t->reference->output[0])->shape,
                            SQZ_F32, &count, &bytes));
    sqz_status st = SQZ_OK;
    if (bytes <= KEEP_BYTES / TRY_SAMPLES)
        st = sqz_eval_graph(t->reference, t->ds, &o, &r);
    t->wanted = r ? r->output : NULL;
    if (st == SQZ_OK)
        st = rank(t, s, n);
    sqz_eval_free(t->w->ctx, r);
    return st;
}

sqz_status sqz_describe_layers(sqz_work *w, const sqz_graph *g, const sqz_graph *reference,
                               sqz_dataset *ds, const sqz_eval_result *r)
{
    sqz_arena a = {.ctx = w->ctx};
    suspect *s = sorted(&a, r);
    trial t = {.w = w, .g = g, .reference = reference, .ds = ds, .latency = NAN};
    sqz_status st = s ? SQZ_OK : SQZ_E_NOMEM;
    show_layers(w, r);
    if (st == SQZ_OK) {
        show_guilty(w, s, r->n_layer);
        st = rank_all(&t, s, r->n_layer);
    }
    sqz_arena_free(&a);
    return st;
}
