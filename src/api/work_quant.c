/* work_quant.c: from what a job asks for to quantized copies of its model. */
#include "api/work.h"
#include <string.h>

/* ---- what is asked for ---- */

static sqz_status set_number(sqz_work *w, sqz_recipe *r, const char *pass, const char *option,
                             int64_t v)
{
    char text[32];
    sqz_print_f64(text, (double)v);
    return sqz_recipe_set(&w->arena, r, pass, option, text);
}

static sqz_status apply_flags(sqz_work *w, sqz_recipe *r)
{
    const sqz_job *j = &w->job;
    sqz_arena *a = &w->arena;
    if (j->bits)
        SQZ_TRY(sqz_note(w->ctx, sqz_recipe_weights(a, r, j->bits), "--weights"));
    if (j->activations)
        SQZ_TRY(sqz_note(w->ctx, sqz_recipe_activations(a, r, j->activations), "--activations"));
    if (j->group)
        SQZ_TRY(sqz_note(w->ctx, set_number(w, r, "ptq", "group", j->group), "--group"));
    if (j->per_tensor)
        SQZ_TRY(sqz_recipe_set(a, r, "ptq", "per_tensor", "1"));
    if (j->pow2)
        SQZ_TRY(sqz_note(w->ctx, sqz_recipe_set(a, r, "ptq", "pow2", "1"), "--pow2"));
    if (j->exclude)
        SQZ_TRY(sqz_recipe_exclude(a, r, j->exclude));
    if (j->calibrator)
        SQZ_TRY(sqz_recipe_set(a, r, "calib", "method", j->calibrator));
    if (j->samples > 0)
        SQZ_TRY(set_number(w, r, "calib", "samples", j->samples));
    if (j->method)
        SQZ_TRY(sqz_note(w->ctx, sqz_recipe_methods(a, r, j->method), "--method"));
    return SQZ_OK;
}

sqz_status sqz_work_recipe(sqz_work *w, sqz_recipe *out)
{
    if (w->job.recipe)
        SQZ_TRY(sqz_note(w->ctx, sqz_recipe_load(&w->arena, w->job.recipe, out), "--recipe"));
    else
        SQZ_TRY(sqz_recipe_default(&w->arena, out));
    SQZ_TRY(apply_flags(w, out));
    if (!w->job.max_drop)
        w->job.max_drop = out->max_drop;
    return SQZ_OK;
}

/* ---- what recipes that begin alike share ---- */

typedef struct sqz_prefix {
    const char *text; /* passes that were run */
    sqz_graph *graph; /* what they leave */
    sqz_stats *stats; /* of it; NULL: not collected, or not asked for */
    struct sqz_prefix *next;
} sqz_prefix;

void sqz_work_forget(sqz_work *w)
{
    for (sqz_prefix *p = w->prefix; p; p = p->next) {
        sqz_graph_free(p->graph);
        sqz_stats_free(w->ctx, p->stats);
    }
    w->prefix = NULL;
}

const char *sqz_work_data_checksum(const sqz_work *w)
{
    for (const sqz_prefix *p = w->prefix; p; p = p->next)
        if (p->stats)
            return p->stats->data_checksum;
    return w->stats ? w->stats->data_checksum : "";
}

static sqz_env make_env(sqz_work *w, sqz_str *notes)
{
    return (sqz_env){.calib = w->calib,
                     .layout = w->job.layout,
                     .seed = w->job.seed,
                     .samples = sqz_work_samples(w),
                     .batch = w->job.batch,
                     .integer_only = w->device && !w->device->numerics.f32,
                     .notes = notes};
}

/* Runs `passes` on a copy of `from` and keeps what they leave under `text`. */
static sqz_status keep_prefix(sqz_work *w, const char *text, const sqz_graph *from,
                              const char *passes, sqz_env *env, sqz_prefix **out)
{
    sqz_prefix *p = sqz_arena_alloc(&w->arena, 1, sizeof *p);
    *out = p;
    if (!p || !(p->text = sqz_arena_strdup(&w->arena, text)))
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_graph_clone(from, &p->graph));
    sqz_status s = *passes ? sqz_run_recipe(p->graph, passes, env) : SQZ_OK;
    if (s != SQZ_OK) {
        sqz_graph_free(p->graph);
        return s;
    }
    p->next = w->prefix;
    w->prefix = p;
    return SQZ_OK;
}

static sqz_prefix *find_prefix(const sqz_work *w, const char *text)
{
    sqz_prefix *p = w->prefix;
    while (p && strcmp(p->text, text) != 0)
        p = p->next;
    return p;
}

/* The float model behind the passes in front of calib. */
static sqz_status prepared(sqz_work *w, const char *before, sqz_str *notes, sqz_prefix **out)
{
    sqz_env env = make_env(w, notes);
    *out = find_prefix(w, before);
    return *out ? SQZ_OK : keep_prefix(w, before, w->graph, before, &env, out);
}

/* The same with ranges; calib uses the statistics that an earlier one has left. */
static sqz_status calibrated(sqz_work *w, const sqz_recipe *r, sqz_str *notes, sqz_prefix **out)
{
    sqz_str calib = {.ctx = w->ctx}, all = {.ctx = w->ctx};
    sqz_prefix *from;
    sqz_ranges *ranges = NULL;
    SQZ_TRY(prepared(w, r->before, notes, &from));
    *out = from;
    if (!r->calib)
        return SQZ_OK;
    sqz_step_print(&calib, sqz_pass_find("calib"), r->calib);
    sqz_str_addf(&all, "%s,%s", r->before, calib.data ? calib.data : "");
    sqz_status s = calib.status != SQZ_OK ? calib.status : all.status;
    if (s == SQZ_OK && !(*out = find_prefix(w, all.data))) {
        sqz_env env = make_env(w, notes);
        if (w->job.ranges)
            s = sqz_ranges_load(w->ctx, w->job.ranges, &ranges);
        env.ranges = ranges;
        env.stats = &from->stats;
        if (s == SQZ_OK)
            s = keep_prefix(w, all.data, from->graph, calib.data, &env, out);
    }
    sqz_ranges_free(w->ctx, ranges);
    sqz_str_free(&calib);
    sqz_str_free(&all);
    return s;
}

sqz_status sqz_work_stats(sqz_work *w, const char *before, const sqz_stats **out)
{
    sqz_prefix *p;
    SQZ_TRY(prepared(w, before, &w->notes, &p));
    if (!p->stats)
        SQZ_TRY(sqz_stats_collect(p->graph, w->calib, w->job.layout, sqz_work_samples(w),
                                  w->job.batch, &p->stats));
    *out = p->stats;
    return SQZ_OK;
}

/* ---- quantizing ---- */

static sqz_status check_inputs(const sqz_work *w, const sqz_recipe *r)
{
    if (w->job.ranges && *r->before)
        return sqz_fail(w->ctx, SQZ_E_ARG,
                        "--ranges are those of the model as it is, and '%s' changes it: give the "
                        "data (--data) alone",
                        r->before);
    if (r->calib && !w->job.ranges && !w->calib)
        return sqz_fail(w->ctx, SQZ_E_ARG, "calibration needs data (--data) or ranges (--ranges)");
    return SQZ_OK;
}

static sqz_status run_rest(sqz_work *w, const sqz_recipe *r, sqz_str *notes, sqz_graph *g)
{
    sqz_arena a = {.ctx = w->ctx};
    sqz_recipe rest = *r;
    rest.before = "";
    rest.calib = NULL;
    sqz_env env = make_env(w, notes);
    const char *text = sqz_recipe_text(&a, &rest);
    sqz_status s = text ? sqz_run_recipe(g, text, &env) : SQZ_E_NOMEM;
    sqz_arena_free(&a);
    return s;
}

sqz_status sqz_work_quantized(sqz_work *w, const sqz_recipe *r, sqz_str *notes, sqz_graph **out)
{
    sqz_prefix *p;
    *out = NULL;
    SQZ_TRY(check_inputs(w, r));
    SQZ_TRY(calibrated(w, r, notes, &p));
    SQZ_TRY(sqz_graph_clone(p->graph, out));
    sqz_status s = run_rest(w, r, notes, *out);
    if (s != SQZ_OK) {
        sqz_graph_free(*out);
        *out = NULL;
    }
    return s;
}
