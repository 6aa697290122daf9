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
    const char *before; /* passes in front of calib */
    sqz_graph *graph;   /* what they leave; NULL: w->graph, as there are none */
    sqz_stats *stats;   /* of it; NULL: not collected yet */
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

static sqz_status make_prefix(sqz_work *w, const char *before, sqz_str *notes, sqz_prefix **out)
{
    sqz_prefix *p = sqz_arena_alloc(&w->arena, 1, sizeof *p);
    *out = p;
    if (!p || !(p->before = sqz_arena_strdup(&w->arena, before)))
        return SQZ_E_NOMEM;
    sqz_env env = make_env(w, notes);
    sqz_status s = SQZ_OK;
    if (*before)
        s = sqz_graph_clone(w->graph, &p->graph);
    if (s == SQZ_OK && *before)
        s = sqz_run_recipe(p->graph, before, &env);
    if (s != SQZ_OK) {
        sqz_graph_free(p->graph);
        return s;
    }
    p->next = w->prefix;
    w->prefix = p;
    return SQZ_OK;
}

static sqz_status find_prefix(sqz_work *w, const char *before, sqz_str *notes, sqz_prefix **out)
{
    for (sqz_prefix *p = w->prefix; p; p = p->next)
        if (strcmp(p->before, before) == 0) {
            *out = p;
            return SQZ_OK;
        }
    return make_prefix(w, before, notes, out);
}

sqz_status sqz_work_stats(sqz_work *w, const char *before, const sqz_stats **out)
{
    sqz_prefix *p;
    SQZ_TRY(find_prefix(w, before, &w->notes, &p));
    if (!p->stats)
        SQZ_TRY(sqz_stats_collect(p->graph ? p->graph : w->graph, w->calib, w->job.layout,
                                  sqz_work_samples(w), w->job.batch, &p->stats));
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

static sqz_status run_rest(sqz_work *w, const sqz_recipe *r, sqz_prefix *p, sqz_str *notes,
                           sqz_graph *g)
{
    sqz_arena a = {.ctx = w->ctx};
    sqz_recipe rest = *r;
    sqz_ranges *ranges = NULL;
    rest.before = "";
    const char *text = sqz_recipe_text(&a, &rest);
    sqz_status s = text ? SQZ_OK : SQZ_E_NOMEM;
    if (s == SQZ_OK && w->job.ranges)
        s = sqz_ranges_load(w->ctx, w->job.ranges, &ranges);
    sqz_env env = make_env(w, notes);
    env.ranges = ranges;
    env.stats = &p->stats;
    if (s == SQZ_OK)
        s = sqz_run_recipe(g, text, &env);
    sqz_ranges_free(w->ctx, ranges);
    sqz_arena_free(&a);
    return s;
}

sqz_status sqz_work_quantized(sqz_work *w, const sqz_recipe *r, sqz_str *notes, sqz_graph **out)
{
    sqz_prefix *p;
    *out = NULL;
    SQZ_TRY(check_inputs(w, r));
    SQZ_TRY(find_prefix(w, r->before, notes, &p));
    SQZ_TRY(sqz_graph_clone(p->graph ? p->graph : w->graph, out));
    sqz_status s = run_rest(w, r, p, notes, *out);
    if (s != SQZ_OK) {
        sqz_graph_free(*out);
        *out = NULL;
    }
    return s;
}
