/* fit_state.c: candidates of a search, made, costed and judged one after the other. */
#include "api/api_fit.h"
#include "base/yaml.h"
#include "eval/without.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is asked for ---- */
static const char *chosen_metric(const sqz_work *w, const sqz_dataset *ds)
{
    if (!ds->has_labels)
        return NULL; /* nothing to be right about: closeness to the float model decides */
    if (w->job.metric)
        return w->job.metric;
    if (w->device && w->device->limits.accuracy.set && w->device->limits.accuracy.metric)
        return w->device->limits.accuracy.metric;
    return ds->classes > 0 ? "top1" : "mse";
}

/* Beside the metric: how far the outputs are from the float model's. */
static bool about_classes(const char *metric)
{
    static const char *const list[] = {"top1", "top5", "f1", "precision", "recall", "auc"};
    size_t n = strcspn(metric, "(,");
    for (size_t i = 0; i < SQZ_COUNT(list); i++)
        if (strlen(list[i]) == n && memcmp(list[i], metric, n) == 0)
            return true;
    return false;
}

const char *sqz_fit_metric(const sqz_fit_state *f, const sqz_dataset *ds)
{
    const char *metric = chosen_metric(f->w, ds);
    return metric ? metric : "";
}

static char *metrics_for(sqz_fit_state *f, const sqz_dataset *ds)
{
    const char *metric = chosen_metric(f->w, ds);
    if (!metric)
        return sqz_arena_strdup(&f->arena, "snr");
    return sqz_arena_printf(&f->arena, "%s,%s", metric,
                            about_classes(metric) ? "agreement,kl" : "snr");
}

static sqz_status accuracy_limits(sqz_fit_state *f)
{
    sqz_work *w = f->w;
    f->max_drop = f->min = NAN;
    if (w->device && w->device->limits.accuracy.set) {
        f->max_drop = w->device->limits.accuracy.max_drop > 0.0
                          ? w->device->limits.accuracy.max_drop
                          : NAN;
        f->min = w->device->limits.accuracy.min > 0.0 ? w->device->limits.accuracy.min : NAN;
    }
    const char *drop = w->job.max_drop; /* "1 %" of a share is one point, as "1 pp" says */
    if (drop)
        SQZ_TRY(sqz_quantity(w->ctx, "--max-drop", drop,
                             strchr(drop, '%') ? SQZ_DIM_PERCENT : SQZ_DIM_POINTS, &f->max_drop));
    return SQZ_OK;
}

static sqz_status budget(sqz_fit_state *f)
{
    const sqz_device *d = f->w->device;
    const char *text = f->w->job.budget;
    if (d) {
        f->time_budget = d->budget.time;
        f->trial_budget = d->budget.trials;
    }
    const char *end;
    int64_t n;
    if (text && sqz_parse_i64(text, &end, &n) &&
        (strcmp(end, " trials") == 0 || strcmp(end, "trials") == 0) && n > 0) {
        f->trial_budget = n;
        return SQZ_OK;
    }
    return text ? sqz_quantity(f->w->ctx, "--budget", text, SQZ_DIM_SECONDS, &f->time_budget)
                : SQZ_OK;
}

static double metric_value(const sqz_eval_result *r, const char *name, double *se)
{
    for (unsigned i = 0; i < r->n_metric; i++)
        if (strcmp(r->metric[i].metric->info.name, name) == 0) {
            if (se)
                *se = r->metric[i].se;
            return r->metric[i].value;
        }
    return NAN;
}

#define KEEP_BYTES ((size_t)256 << 20)

sqz_status sqz_fit_float(sqz_fit_state *f, sqz_dataset *ds, const char *metrics,
                         sqz_eval_result **out)
{
    const sqz_graph *g = f->w->graph;
    size_t count = 0, bytes = 0, total;
    SQZ_TRY(sqz_shape_count(f->w->ctx, &sqz_val(g, g->output[0])->shape, SQZ_F32, &count, &bytes));
    bool small = sqz_mul(bytes, (size_t)ds->n, &total) && total <= KEEP_BYTES;
    const sqz_eval_options o = {.layout = f->w->job.layout,
                                .metrics = metrics,
                                .limit = f->w->job.limit,
                                .keep_outputs = small};
    return sqz_eval_graph(g, ds, &o, out);
}

sqz_status sqz_fit_eval(sqz_fit_state *f, const sqz_graph *g, sqz_dataset *ds, const char *metrics,
                        const sqz_eval_result *reference, sqz_eval_result **out)
{
    const sqz_eval_options o = {.layout = f->w->job.layout,
                                .metrics = metrics,
                                .limit = f->w->job.limit,
                                .reference = reference->output ? NULL : f->w->graph,
                                .reference_output = reference->output};
    return sqz_eval_graph(g, ds, &o, out);
}

static sqz_status judge(sqz_fit_state *f, const sqz_graph *g, sqz_trial *t)
{
    sqz_eval_result *r;
    SQZ_TRY(sqz_fit_eval(f, g, f->w->judge, f->metrics, f->float_result, &r));
    t->accuracy = r->metric[0].value;
    t->se = r->metric[0].se;
    t->agreement = metric_value(r, "agreement", NULL);
    double kl = metric_value(r, "kl", NULL);
    t->distance = isnan(kl) ? -metric_value(r, "snr", NULL) : kl;
    sqz_eval_free(f->w->ctx, r);
    return SQZ_OK;
}

/* Judged by the metric proper; where closeness to itself is what counts, it is as close as can be.
 */
static sqz_status judge_float(sqz_fit_state *f)
{
    f->metric = sqz_metric_find("snr");
    f->reference = INFINITY;
    SQZ_TRY(sqz_fit_float(f, f->w->judge, sqz_fit_metric(f, f->w->judge), &f->float_result));
    f->judged = f->float_result->samples;
    if (f->float_result->n_metric == 0)
        return SQZ_OK;
    f->metric = f->float_result->metric[0].metric;
    f->reference = f->float_result->metric[0].value;
    return SQZ_OK;
}

sqz_status sqz_fit_open(sqz_fit_state *f, sqz_work *w)
{
    *f = (sqz_fit_state){.w = w, .arena = {.ctx = w->ctx}, .start = sqz_now()};
    f->metrics = metrics_for(f, w->judge);
    f->final_metrics = metrics_for(f, w->test ? w->test : w->judge);
    f->cap = 256;
    f->trial = sqz_arena_alloc(&f->arena, f->cap, sizeof *f->trial);
    if (!f->metrics || !f->final_metrics || !f->trial)
        return SQZ_E_NOMEM;
    SQZ_TRY(accuracy_limits(f));
    SQZ_TRY(budget(f));
    return judge_float(f);
}

void sqz_fit_close(sqz_fit_state *f)
{
    if (!f->w)
        return;
    sqz_eval_free(f->w->ctx, f->float_result);
    for (uint32_t i = 0; i < f->n_trial; i++) {
        sqz_graph_free(f->trial[i].graph);
        sqz_estimate_free(f->w->ctx, f->trial[i].estimate);
    }
    sqz_arena_free(&f->arena);
}

bool sqz_fit_accurate(const sqz_fit_state *f, double accuracy)
{
    bool higher = f->metric->higher_is_better;
    if (!f->w->judge->has_labels)
        return true; /* cannot be known here; the test data may still break the limit */
    double loss = higher ? f->reference - accuracy : accuracy - f->reference;
    /* a thousandth of a sample: shares are sums of doubles */
    double slack = 1e-3 / (double)SQZ_MAX(f->judged, 1);
    bool drop_ok = isnan(f->max_drop) || loss <= f->max_drop + slack;
    bool min_ok = isnan(f->min) ||
                  (higher ? accuracy >= f->min - slack : accuracy <= f->min + slack);
    return drop_ok && min_ok;
}

bool sqz_fit_out_of_budget(const sqz_fit_state *f)
{
    return (f->time_budget > 0.0 && sqz_now() - f->start >= f->time_budget) ||
           (f->trial_budget > 0 && f->n_trial >= f->trial_budget) || f->n_trial >= f->cap;
}

/* ---- one trial ---- */
/* The first limit of the device that stands in the way, accuracy left out. */
/* How far a broken limit is exceeded, relative to it; what cannot run at all is furthest. */
static double excess(const sqz_limit_result *r)
{
    double allowed = r->limit * (1.0 - r->margin);
    return allowed > 0.0 ? r->value / allowed - 1.0 : 1e6;
}

static sqz_status obstacle(sqz_fit_state *f, sqz_trial *t)
{
    sqz_limit_result row[8];
    unsigned n = 0;
    sqz_limits_check(f->w->device, t->estimate, NAN, NAN, row, &n);
    for (unsigned i = 0; i < n; i++) {
        if (row[i].verdict != SQZ_V_BROKEN)
            continue;
        t->excess += excess(&row[i]);
        if (t->obstacle)
            continue;
        t->obstacle = sqz_arena_printf(&f->arena, "%s: %s", row[i].what,
                                       row[i].why ? row[i].why : "over its limit");
        if (!t->obstacle)
            return SQZ_E_NOMEM;
    }
    return SQZ_OK;
}

static sqz_status quantized(sqz_fit_state *f, sqz_trial *t)
{
    sqz_str notes = {.ctx = f->w->ctx};
    sqz_status s = sqz_work_quantized(f->w, t->recipe, &notes, &t->graph);
    if (s == SQZ_OK && notes.len && !(t->notes = sqz_arena_strdup(&f->arena, notes.data)))
        s = SQZ_E_NOMEM;
    sqz_str_free(&notes);
    return s;
}

static sqz_status try_one(sqz_fit_state *f, sqz_trial *t)
{
    sqz_work *w = f->w;
    if (t->recipe)
        SQZ_TRY(quantized(f, t));
    else
        SQZ_TRY(sqz_graph_clone(w->graph, &t->graph));
    if (!t->recipe) { /* the float model is its own reference */
        t->accuracy = f->reference;
        t->agreement = 1.0;
        t->distance = strstr(f->metrics, ",kl") ? 0.0 : -INFINITY; /* no noise: infinite SNR */
    }
    t->bytes = sqz_graph_constant_bytes(t->graph);
    if (w->device) {
        SQZ_TRY(sqz_estimate_graph(t->graph, w->device, &t->estimate));
        SQZ_TRY(obstacle(f, t));
        if (t->obstacle)
            return SQZ_OK; /* no need to know how accurate it is */
    }
    if (t->recipe)
        SQZ_TRY(judge(f, t->graph, t));
    t->fits = sqz_fit_accurate(f, t->accuracy);
    if (t->fits)
        return SQZ_OK;
    char have[48], was[48];
    sqz_print_metric(have, f->metric, t->accuracy);
    sqz_print_metric(was, f->metric, f->reference);
    t->obstacle = sqz_arena_printf(&f->arena, "accuracy: %s, float has %s", have, was);
    return t->obstacle ? SQZ_OK : SQZ_E_NOMEM;
}

/* The recipe is kept with the trial: a copy, as the caller goes on changing his. */
static sqz_status keep_recipe(sqz_fit_state *f, const sqz_recipe *r, sqz_trial *t)
{
    sqz_recipe *copy = sqz_arena_alloc(&f->arena, 1, sizeof *copy);
    if (!copy)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_recipe_copy(&f->arena, r, copy));
    t->recipe = copy;
    t->passes = sqz_recipe_text(&f->arena, copy);
    if (!t->name)
        t->name = sqz_recipe_title(&f->arena, copy);
    return t->passes && t->name ? SQZ_OK : SQZ_E_NOMEM;
}

sqz_status sqz_fit_try(sqz_fit_state *f, const char *name, const sqz_recipe *recipe,
                       sqz_trial **out)
{
    sqz_trial *t = &f->trial[f->n_trial];
    if (out)
        *out = t;
    double start = sqz_now();
    *t = (sqz_trial){.name = name ? sqz_arena_strdup(&f->arena, name) : NULL,
                     .notes = "",
                     .accuracy = NAN,
                     .distance = NAN,
                     .agreement = NAN};
    f->n_trial++;
    if (name && !t->name)
        return SQZ_E_NOMEM;
    if (recipe)
        SQZ_TRY(keep_recipe(f, recipe, t));
    SQZ_TRY(sqz_note(f->w->ctx, try_one(f, t), "trial '%s'", t->name));
    t->seconds = sqz_now() - start;
    SQZ_INFO(f->w->ctx, "trial '%s': %s", t->name, t->fits ? "fits" : t->obstacle);
    return SQZ_OK;
}

const sqz_trial *sqz_fit_best(const sqz_fit_state *f)
{
    const sqz_trial *best = NULL;
    for (uint32_t i = 0; i < f->n_trial; i++)
        best = sqz_trial_better(best, &f->trial[i], f->metric->higher_is_better, f->judged);
    return best;
}

/* ---- keeping the worst nodes float ---- */
typedef struct suspect {
    sqz_nid node;
    double distance; /* of the whole model from float when this node alone stays float */
} suspect;

static int by_distance(const void *a, const void *b)
{
    const suspect *x = a, *y = b;
    if (x->distance != y->distance)
        return (x->distance > y->distance) - (x->distance < y->distance);
    return (x->node > y->node) - (x->node < y->node);
}

/* `from` with more nodes float. */
static sqz_status without(sqz_fit_state *f, const sqz_trial *from, const char *nodes,
                          sqz_recipe *out)
{
    SQZ_TRY(sqz_recipe_copy(&f->arena, from->recipe, out));
    return sqz_recipe_exclude(&f->arena, out, nodes);
}

static sqz_status distance_without(sqz_fit_state *f, const sqz_trial *from, const char *node,
                                   double *out)
{
    sqz_recipe recipe;
    SQZ_TRY(without(f, from, node, &recipe));
    sqz_graph *g;
    const bool kl = strstr(f->metrics, ",kl") != NULL;
    const sqz_eval_options o = {.layout = f->w->job.layout,
                                .metrics = kl ? "kl" : "snr",
                                .limit = 256,
                                .reference = f->w->graph};
    SQZ_TRY(sqz_work_quantized(f->w, &recipe, NULL, &g));
    sqz_eval_result *r = NULL;
    sqz_status s = sqz_eval_graph(g, f->w->judge, &o, &r);
    if (s == SQZ_OK)
        *out = kl ? r->metric[0].value : -r->metric[0].value;
    sqz_eval_free(f->w->ctx, r);
    sqz_graph_free(g);
    return s;
}

static sqz_status rank_suspects(sqz_fit_state *f, const sqz_trial *from, suspect **list,
                                uint32_t *n)
{
    const sqz_graph *g = f->w->graph;
    *n = 0;
    *list = sqz_arena_alloc(&f->arena, g->n_node + 1u, sizeof **list);
    if (!*list)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(g, id)
    {
        if (sqz_nod(g, id)->op->quant.kind != SQZ_Q_LINEAR || sqz_fit_out_of_budget(f))
            continue;
        suspect *s = &(*list)[*n];
        s->node = id;
        SQZ_TRY(distance_without(f, from, sqz_nod(g, id)->name, &s->distance));
        (*n)++;
        if (!sqz_progress(f->w->ctx, "sensitivity", *n, g->n_node))
            return sqz_fail(f->w->ctx, SQZ_E_ARG, "stopped");
    }
    qsort(*list, *n, sizeof **list, by_distance);
    return SQZ_OK;
}

sqz_status sqz_fit_fall_back(sqz_fit_state *f, const sqz_trial *from)
{
    suspect *list;
    uint32_t n;
    sqz_str nodes = {.ctx = f->w->ctx};
    SQZ_TRY(rank_suspects(f, from, &list, &n));
    sqz_status s = SQZ_OK;
    for (uint32_t i = 0; s == SQZ_OK && i < n && !sqz_fit_out_of_budget(f); i++) {
        sqz_trial *t;
        sqz_recipe recipe;
        sqz_str_addf(&nodes, "%s%s", nodes.len ? "," : "",
                     sqz_nod(f->w->graph, list[i].node)->name);
        if (i != 0 && (i & (i + 1)) != 0 && i + 1 < n) /* 1, 2, 4, 8, ... nodes, then all */
            continue;
        char *name = sqz_arena_printf(&f->arena, "%s, %u float", from->name, (unsigned)(i + 1));
        s = nodes.status != SQZ_OK || !name ? SQZ_E_NOMEM : without(f, from, nodes.data, &recipe);
        if (s == SQZ_OK)
            s = sqz_fit_try(f, name, &recipe, &t);
        if (s == SQZ_OK && t->fits)
            break;
    }
    sqz_str_free(&nodes);
    return s;
}

/* ---- report ---- */
/* The flash limit as a line over the height of the points. */
static void add_limit(const sqz_fit_state *f, cJSON *config, double lo, double hi)
{
    const sqz_limit *flash = &f->w->device->limits.flash;
    if (!flash->set || !(hi >= lo))
        return;
    cJSON *series = sqz_chart_series(config, "flash limit", "#777777");
    cJSON *sets = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(config, "data"),
                                                   "datasets");
    cJSON *set = cJSON_GetArrayItem(sets, cJSON_GetArraySize(sets) - 1);
    (void)cJSON_AddBoolToObject(set, "showLine", true);
    (void)cJSON_AddNumberToObject(set, "pointRadius", 0);
    sqz_chart_point(series, flash->max / 1024.0, lo);
    sqz_chart_point(series, flash->max / 1024.0, hi);
}

static cJSON *scatter(const sqz_fit_state *f)
{
    cJSON *config = sqz_chart_new("scatter");
    double lo = INFINITY, hi = -INFINITY, scale = f->metric->fraction ? 100.0 : 1.0;
    for (int fits = 1; fits >= 0; fits--) {
        cJSON *series = sqz_chart_series(config, fits ? "fits" : "does not fit",
                                         fits ? SQZ_COLOR_GOOD : SQZ_COLOR_BAD);
        for (uint32_t i = 0; i < f->n_trial; i++) {
            const sqz_trial *t = &f->trial[i];
            if (t->fits != (fits == 1) || !isfinite(t->accuracy) || !t->estimate)
                continue;
            sqz_chart_point(series, t->estimate->flash / 1024.0, scale * t->accuracy);
            lo = SQZ_MIN(lo, scale * t->accuracy);
            hi = SQZ_MAX(hi, scale * t->accuracy);
        }
    }
    add_limit(f, config, lo, hi);
    return config;
}

void sqz_describe_trials(sqz_fit_state *f, const sqz_trial *best)
{
    sqz_report *r = f->w->rep;
    cJSON *list = sqz_json_array(r, NULL, "trials");
    const bool device = f->w->device != NULL;
    sqz_view_table(r, device ? "trial|>accuracy|>agrees|>from float|>flash|>RAM|>latency|>seconds|"
                               "result"
                             : "trial|>accuracy|>agrees|>from float|>weights|>seconds|result");
    for (uint32_t i = 0; i < f->n_trial; i++) {
        const sqz_trial *t = &f->trial[i];
        char accuracy[48], flash[32] = "", ram[32] = "", latency[32] = "", distance[32] = "";
        char agrees[32] = "";
        const char *result = t->fits ? "fits" : t->obstacle ? t->obstacle : "";
        if (!isnan(t->agreement))
            (void)snprintf(agrees, sizeof agrees, "%.2f %%", 100.0 * t->agreement);
        sqz_print_metric(accuracy, f->metric, t->accuracy);
        if (!isnan(t->distance))
            (void)snprintf(distance, sizeof distance, "%.3g", fabs(t->distance));
        cJSON *o = sqz_json_object(r, list, NULL);
        sqz_json_str(r, o, "name", t->name);
        sqz_json_str(r, o, "recipe", t->passes);
        sqz_json_num(r, o, "accuracy", t->accuracy);
        sqz_json_num(r, o, "standard_error", t->se);
        sqz_json_num(r, o, "distance", t->distance);
        sqz_json_num(r, o, "agreement", t->agreement);
        sqz_json_num(r, o, "seconds", t->seconds);
        sqz_json_bool(r, o, "fits", t->fits);
        sqz_json_str(r, o, "obstacle", t->obstacle);
        if (t->estimate) {
            sqz_print_bytes(flash, (uint64_t)ceil(t->estimate->flash));
            sqz_print_bytes(ram, (uint64_t)ceil(t->estimate->ram));
            sqz_print_seconds(latency, t->estimate->latency);
            sqz_json_num(r, o, "flash", t->estimate->flash);
            sqz_json_num(r, o, "ram", t->estimate->ram);
            sqz_json_num(r, o, "latency", t->estimate->latency);
            sqz_json_num(r, o, "energy", t->estimate->energy);
        }
        sqz_json_num(r, o, "bytes", t->bytes);
        if (!device)
            sqz_print_bytes(flash, (uint64_t)t->bytes);
        if (device)
            sqz_view_row(r, "%s%s|%s|%s|%s|%s|%s|%s|%.2f|%s", t == best ? "* " : "  ", t->name,
                         accuracy, agrees, distance, flash, ram, latency, t->seconds, result);
        else
            sqz_view_row(r, "%s%s|%s|%s|%s|%s|%.2f|%s", t == best ? "* " : "  ", t->name, accuracy,
                         agrees, distance, flash, t->seconds, result);
    }
    if (f->w->device)
        sqz_view_chart(r, "Accuracy on the judging split against flash, KiB", scatter(f));
}
