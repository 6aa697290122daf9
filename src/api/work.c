/* work.c: opening and closing what a job names. */
#include "api/work.h"
#include <string.h>

static void close_work(sqz_work *w)
{
    sqz_graph_free(w->graph);
    sqz_graph_free(w->reference);
    sqz_data_close(w->calib);
    sqz_data_close(w->judge);
    sqz_data_close(w->test);
    sqz_device_free(w->ctx, w->device);
    sqz_stats_free(w->ctx, w->stats);
    sqz_work_forget(w);
    sqz_arena_free(&w->arena);
    sqz_str_free(&w->notes);
}

sqz_status sqz_work_do(sqz_ctx *ctx, const sqz_job *job, const char *command, sqz_work_fn fn,
                       sqz_report **out)
{
    if (!ctx || !out)
        return SQZ_E_ARG;
    *out = NULL;
    if (!job || job->struct_size < sizeof job->struct_size)
        return sqz_fail(ctx, SQZ_E_ARG,
                        "the job is NULL or its struct_size is not set (use SQZ_JOB_INIT)");
    sqz_work w = {.ctx = ctx, .arena = {.ctx = ctx}, .notes = {.ctx = ctx}};
    memcpy(&w.job, job, SQZ_MIN(job->struct_size, sizeof w.job));
    SQZ_TRY(sqz_report_new(ctx, command, &w.rep));
    double start = sqz_now();
    sqz_status s = fn(&w);
    if (s == SQZ_OK || s == SQZ_E_GATE || s == SQZ_E_BUDGET) {
        sqz_json_num(w.rep, NULL, "seconds", sqz_now() - start);
        sqz_status built = sqz_report_done(w.rep);
        if (built != SQZ_OK)
            s = built;
    }
    close_work(&w);
    if (s == SQZ_OK || s == SQZ_E_GATE || s == SQZ_E_BUDGET)
        *out = w.rep;
    else
        sqz_report_free(w.rep);
    return s;
}

sqz_status sqz_canonical(sqz_ctx *ctx, sqz_graph *g)
{
    sqz_env env = {0};
    (void)ctx;
    return sqz_run_recipe(g, SQZ_CANONICAL, &env);
}

static sqz_status load(sqz_work *w, const char *path, sqz_given *given, size_t n_given,
                       sqz_import_source *source, sqz_graph **out)
{
    const sqz_import_options opt = {.path = path,
                                    .shape = w->job.shape,
                                    .bind = w->job.bind,
                                    .weights = source ? w->job.weights : NULL,
                                    .given = given,
                                    .n_given = n_given};
    sqz_status s = sqz_import_file(w->ctx, &opt, source, out);
    sqz_env env = {0};
    const char *recipe = w->job.literal ? SQZ_CANONICAL_LITERAL : SQZ_CANONICAL;
    if (s == SQZ_OK)
        s = sqz_note(w->ctx, sqz_run_recipe(*out, recipe, &env), "'%s'", path);
    if (s != SQZ_OK) {
        sqz_graph_free(*out);
        *out = NULL;
    }
    return s;
}

sqz_status sqz_work_model_given(sqz_work *w, sqz_given *given, size_t n)
{
    if (!w->job.model)
        return sqz_fail(w->ctx, SQZ_E_ARG, "no model is given");
    return load(w, w->job.model, given, n, &w->source, &w->graph);
}

sqz_status sqz_work_model(sqz_work *w) { return sqz_work_model_given(w, NULL, 0); }

sqz_status sqz_work_reference(sqz_work *w)
{
    return w->job.against ? load(w, w->job.against, NULL, 0, NULL, &w->reference) : SQZ_OK;
}

sqz_status sqz_work_device(sqz_work *w)
{
    return w->job.device ? sqz_device_load(w->ctx, w->job.device, &w->device) : SQZ_OK;
}

/* A model of several inputs is fed with arrays of their names. */
static sqz_status open_set(sqz_work *w, const char *path, const char *split, sqz_dataset **out)
{
    const sqz_graph *g = w->graph;
    if (!g || g->n_input < 2)
        return sqz_data_open(w->ctx, path, split, out);
    const char **name = sqz_calloc(w->ctx, g->n_input, sizeof *name);
    if (!name)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < g->n_input; i++)
        name[i] = sqz_value_file_name(g, g->input[i]);
    sqz_status s = sqz_data_open_joined(w->ctx, path, split, name, g->n_input, out);
    sqz_free(w->ctx, name);
    return s;
}

sqz_status sqz_work_data(sqz_work *w, const char *path, const char *splits, sqz_dataset **out)
{
    if (!path)
        return sqz_fail(w->ctx, SQZ_E_ARG, "no data is given (--data)");
    if (w->job.split)
        return open_set(w, path, w->job.split, out);
    while (splits && *splits) {
        char name[32] = "";
        size_t n = strcspn(splits, "|");
        if (n < sizeof name) {
            memcpy(name, splits, n);
            if (sqz_data_has_split(w->ctx, path, name))
                return open_set(w, path, name, out);
        }
        splits += n + (splits[n] == '|');
    }
    return open_set(w, path, NULL, out);
}

int64_t sqz_work_samples(const sqz_work *w) { return w->job.samples > 0 ? w->job.samples : 512; }

#define DRY_SAMPLES 32

sqz_status sqz_work_dry_run(sqz_work *w, sqz_dataset *ds, double samples, const char *writes)
{
    const sqz_eval_options o = {.layout = w->job.layout, .metrics = "", .limit = DRY_SAMPLES};
    sqz_eval_result *r;
    SQZ_TRY(sqz_eval_graph(w->graph, ds, &o, &r));
    double seconds = r->seconds / (double)r->samples * samples;
    sqz_eval_free(w->ctx, r);
    char text[32];
    sqz_print_seconds(text, seconds);
    sqz_json_bool(w->rep, NULL, "dry_run", true);
    sqz_json_num(w->rep, NULL, "samples", samples);
    sqz_json_num(w->rep, NULL, "estimated_seconds", seconds);
    sqz_view_text(w->rep, "would run the model on %.0f samples in all, about %s, and write %s",
                  samples, text, writes ? writes : "nothing");
    return SQZ_OK;
}

sqz_status sqz_work_stamp(sqz_work *w, sqz_graph *g, const char *recipe)
{
    char seed[32];
    sqz_print_f64(seed, (double)w->job.seed);
    SQZ_TRY(sqz_graph_add_meta(g, "squeeze.version", sqz_version()));
    SQZ_TRY(sqz_graph_add_meta(g, "squeeze.source_sha256", w->source.sha256));
    const char *sum = sqz_work_data_checksum(w);
    if (*sum)
        SQZ_TRY(sqz_graph_add_meta(g, "squeeze.data_sha256", sum));
    SQZ_TRY(sqz_graph_add_meta(g, "squeeze.recipe", recipe));
    return sqz_graph_add_meta(g, "squeeze.seed", seed);
}
