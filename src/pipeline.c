/* pipeline.c: squeeze fit, the whole of squeeze in order: the most accurate model that fits the
 * device. */
#include "api/mixed.h"
#include <math.h>
#include <string.h>

/* ---- 1. what is needed ---- */
static sqz_status open_all(sqz_work *w)
{
    if (!w->job.device)
        return sqz_fail(w->ctx, SQZ_E_ARG, "no device is given (--device)");
    if (!w->job.out && !w->job.dry_run)
        return sqz_fail(w->ctx, SQZ_E_ARG, "no output folder is given (-o out/)");
    SQZ_TRY(sqz_work_device(w));
    SQZ_TRY(sqz_work_model(w));
    SQZ_TRY(sqz_work_data(w, w->job.data, "calib|train", &w->calib));
    SQZ_TRY(sqz_work_data(w, w->job.data, "valid", &w->judge));
    if (!w->judge->has_labels)
        sqz_str_addf(&w->notes,
                     "'%s' has no labels (array 'y'): candidates are judged by how close their "
                     "outputs stay to the float model's\n",
                     w->job.data);
    if (!w->judge->split)
        sqz_str_addf(
            &w->notes,
            "the data has no split `valid`: candidates are judged on the samples that they are "
            "calibrated on\n");
    if (w->job.test)
        return sqz_work_data(w, w->job.test, "test", &w->test);
    if (sqz_data_has_split(w->ctx, w->job.data, "test"))
        return sqz_data_open(w->ctx, w->job.data, "test", &w->test);
    sqz_str_addf(
        &w->notes,
        "there is no test data (--test, or a split `test`): the accuracy shown is that of the data "
        "on which the winner was chosen, and flatters it\n");
    return SQZ_OK;
}

/* ---- 2. candidates ---- */
static sqz_status try_calibrators(sqz_fit_state *f)
{
    static const char *const list[] = {"mse", "minmax", "percentile", "entropy", "ema"};
    sqz_recipe r;
    SQZ_TRY(sqz_work_recipe(f->w, &r));
    if (f->w->job.calibrator || f->w->job.recipe || !r.calib)
        return sqz_fit_try(f, NULL, &r, NULL);
    for (size_t i = 0; i < SQZ_COUNT(list) && !sqz_fit_out_of_budget(f); i++) {
        SQZ_TRY(sqz_recipe_set(&f->arena, &r, "calib", "method", list[i]));
        SQZ_TRY(sqz_fit_try(f, NULL, &r, NULL));
        if (!sqz_progress(f->w->ctx, "fit", i + 1, SQZ_COUNT(list)))
            return sqz_fail(f->w->ctx, SQZ_E_ARG, "stopped");
    }
    return SQZ_OK;
}

/* Refinements behind the calibrator that did best. */
static sqz_status try_methods(sqz_fit_state *f)
{
    static const char *const list[] = {"bias_correct", "gptq,bias_correct"};
    const sqz_trial *best = sqz_fit_best(f);
    if (f->w->job.recipe || f->w->job.method || f->w->job.ranges || !best || !best->recipe)
        return SQZ_OK;
    const sqz_recipe base = *best->recipe;
    for (size_t i = 0; i < SQZ_COUNT(list) && !sqz_fit_out_of_budget(f); i++) {
        sqz_recipe r = base;
        SQZ_TRY(sqz_recipe_methods(&f->arena, &r, list[i]));
        SQZ_TRY(sqz_fit_try(f, NULL, &r, NULL));
    }
    return SQZ_OK;
}

/* int8 is too large, too slow or too hungry, and the device computes with weights of 4 bits: each
 * layer gets its own. */
static sqz_status try_fewer_bits(sqz_fit_state *f)
{
    const sqz_trial *best = sqz_fit_best(f);
    double limit[SQZ_KNAPSACK_COSTS];
    sqz_mix m;
    if (!best || best->fits || !best->recipe || !isnan(best->accuracy) ||
        !f->w->device->numerics.w_s4 || sqz_fit_out_of_budget(f))
        return SQZ_OK;
    SQZ_TRY(sqz_auto_limits(f, limit));
    return sqz_auto_within(f, best->recipe, limit, &m, &best);
}

/* Accurate enough is not reached, and int8 leaves room on the device: keep the worst nodes float.
 */
static sqz_status try_fallbacks(sqz_fit_state *f)
{
    const sqz_trial *best = sqz_fit_best(f);
    if (!best || best->fits || isnan(best->accuracy) || !best->recipe || sqz_fit_out_of_budget(f))
        return SQZ_OK;
    return sqz_fit_fall_back(f, best);
}

/* ---- 3. proof ---- */
typedef struct proof {
    void *bytes; /* the ONNX file */
    size_t n;
    sqz_eval_result *best, *reference; /* on the test data */
} proof;

/* What was written is what was judged: the bytes are read back and must give the same outputs to
 * the bit. */
static sqz_status read_back(sqz_work *w, const sqz_graph *g, const proof *p)
{
    const sqz_import_options io = {.path = "model.onnx"};
    const sqz_eval_options eo = {
        .layout = w->job.layout, .metrics = "snr", .limit = 64, .reference = g};
    sqz_graph *again = NULL;
    sqz_eval_result *r = NULL;
    sqz_status s = sqz_import_bytes(w->ctx, p->bytes, p->n, &io, &again);
    if (s == SQZ_OK)
        s = sqz_canonical(w->ctx, again);
    if (s == SQZ_OK)
        s = sqz_eval_graph(again, w->judge, &eo, &r);
    if (s == SQZ_OK &&
        r->metric[0].value < 120.0) /* float parts may be fused otherwise; integers are exact */
        s = sqz_fail(w->ctx, SQZ_E_INTERNAL,
                     "the exported model differs from the one that was judged (%.1f dB)",
                     r->metric[0].value);
    if (s == SQZ_OK)
        sqz_json_num(w->rep, NULL, "read_back_snr_db", r->metric[0].value);
    sqz_eval_free(w->ctx, r);
    sqz_graph_free(again);
    return sqz_note(w->ctx, s, "reading the result back");
}

static sqz_status prove(sqz_fit_state *f, const sqz_trial *best, proof *p)
{
    sqz_work *w = f->w;
    SQZ_TRY(sqz_work_stamp(w, best->graph, best->passes ? best->passes : "float"));
    SQZ_TRY(sqz_export_onnx(best->graph, &p->bytes, &p->n));
    SQZ_TRY(read_back(w, best->graph, p));
    sqz_dataset *final = w->test ? w->test : w->judge;
    SQZ_TRY(sqz_fit_float(f, final, sqz_fit_metric(f, final), &p->reference));
    return sqz_fit_eval(f, best->graph, final, f->final_metrics, p->reference, &p->best);
}

/* ---- 4. the report ---- */
static void describe_result(sqz_fit_state *f, const sqz_trial *best, const proof *p,
                            unsigned *broken)
{
    sqz_work *w = f->w;
    char float_size[32], size[32], was[48], now[48];
    sqz_print_bytes(float_size, w->source.bytes);
    sqz_print_bytes(size, p->n);
    const sqz_metric *metric = p->best->metric[0].metric;
    double reference = p->reference->n_metric ? p->reference->metric[0].value : NAN;
    sqz_print_metric(was, metric, reference);
    sqz_print_metric(now, metric, p->best->metric[0].value);
    sqz_view_heading(w->rep, "Result: %s", best->name);
    sqz_view_table(w->rep, "|>float|>squeezed|");
    sqz_view_row(w->rep, "%s, %s|%s|%s|%lld samples, measured", metric->info.name,
                 w->test ? "test data" : "judging data", was, now, (long long)p->best->samples);
    sqz_view_row(w->rep, "model file|%s|%s|%.3f of the float file", float_size, size,
                 (double)p->n / (double)w->source.bytes);
    cJSON *o = sqz_json_object(w->rep, NULL, "result");
    sqz_json_str(w->rep, o, "trial", best->name);
    sqz_json_bool(w->rep, o, "fits", best->fits);
    sqz_json_num(w->rep, o, "file_bytes", (double)p->n);
    sqz_json_num(w->rep, o, "ratio", (double)p->n / (double)w->source.bytes);
    sqz_json_str(w->rep, o, "metric", p->best->metric[0].spec);
    sqz_json_num(w->rep, o, "accuracy", p->best->metric[0].value);
    sqz_json_num(w->rep, o, "float_accuracy", reference);
    sqz_json_num(w->rep, o, "samples", (double)p->best->samples);
    sqz_view_heading(w->rep, "%s: the limits", w->device->name);
    bool fraction = metric->fraction;
    *broken = sqz_describe_limits(w, "limits", best->estimate,
                                  fraction ? p->best->metric[0].value : NAN,
                                  fraction ? reference : NAN);
    sqz_describe_estimate(w, "estimate", best->estimate);
}

static sqz_status describe(sqz_fit_state *f, const sqz_trial *best, const proof *p,
                           unsigned *broken)
{
    sqz_work *w = f->w;
    sqz_view_heading(w->rep, "%s fitted to %s", w->job.model, w->device->name);
    sqz_describe_model(w, "model", w->graph, (double)w->source.bytes);
    describe_result(f, best, p, broken);
    sqz_view_heading(w->rep, "What was tried (judged on %lld samples%s%s)", (long long)f->judged,
                     w->judge->split ? " of split " : "", w->judge->split ? w->judge->split : "");
    sqz_describe_trials(f, best);
    sqz_view_text(w->rep, "%u trials in %.1f s%s", (unsigned)f->n_trial, sqz_now() - f->start,
                  sqz_fit_out_of_budget(f) ? ": the budget is spent" : "");
    w->rep->detail = true; /* the page has it all */
    sqz_describe_metrics(w, "accuracy", p->best);
    sqz_describe_nodes(w, best->graph, best->estimate);
    const sqz_eval_options o = {.layout = w->job.layout,
                                .metrics = "snr",
                                .limit = 128,
                                .reference = w->graph,
                                .layers = true};
    sqz_eval_result *r;
    SQZ_TRY(sqz_eval_graph(best->graph, w->judge, &o, &r));
    sqz_status s = sqz_describe_layers(w, best->graph, w->graph, w->judge, r);
    sqz_eval_free(w->ctx, r);
    SQZ_TRY(s);
    w->rep->detail = false;
    sqz_describe_notes(w);
    sqz_view_text(w->rep, "\nwritten: %s/model.onnx, report.json and report.html", w->job.out);
    return SQZ_OK;
}

static sqz_status write_all(sqz_work *w, const proof *p)
{
    sqz_arena a = {.ctx = w->ctx};
    char *model = sqz_arena_printf(&a, "%s/model.onnx", w->job.out);
    char *json = sqz_arena_printf(&a, "%s/report.json", w->job.out);
    char *html = sqz_arena_printf(&a, "%s/report.html", w->job.out);
    sqz_status s = model && json && html ? sqz_make_dir(w->ctx, w->job.out) : SQZ_E_NOMEM;
    if (s == SQZ_OK && p)
        s = sqz_file_write(w->ctx, model, p->bytes, p->n);
    if (s == SQZ_OK)
        s = sqz_report_write(w->rep, "json", json);
    if (s == SQZ_OK)
        s = sqz_report_write(w->rep, "html", html);
    sqz_arena_free(&a);
    return s;
}

/* ---- the whole of it ---- */
/* Nothing fits: the closest candidate, and the limit in its way. */
static sqz_status give_up(sqz_fit_state *f, const sqz_trial *best)
{
    sqz_work *w = f->w;
    sqz_view_heading(w->rep, "Nothing fits %s", w->device->name);
    sqz_describe_trials(f, best);
    if (best && best->estimate) {
        sqz_view_heading(w->rep, "The closest: %s", best->name);
        (void)sqz_describe_limits(w, "limits", best->estimate,
                                  f->metric->fraction ? best->accuracy : NAN,
                                  f->metric->fraction ? f->reference : NAN);
        w->rep->detail = true;
        sqz_describe_nodes(w, best->graph, best->estimate);
        w->rep->detail = false;
    }
    sqz_describe_notes(w);
    SQZ_TRY(write_all(w, NULL));
    return sqz_fail(w->ctx, SQZ_E_BUDGET, "nothing fits %s; the closest is '%s', in its way: %s",
                    w->device->name, best ? best->name : "-",
                    best && best->obstacle ? best->obstacle : "no trial was made");
}

static sqz_status deliver(sqz_fit_state *f, const sqz_trial *best)
{
    proof p = {0};
    unsigned broken = 0;
    sqz_str_add(&f->w->notes, best->notes);
    sqz_status s = prove(f, best, &p);
    if (s == SQZ_OK)
        s = describe(f, best, &p, &broken);
    if (s == SQZ_OK)
        s = write_all(f->w, &p);
    sqz_eval_free(f->w->ctx, p.best);
    sqz_eval_free(f->w->ctx, p.reference);
    sqz_free(f->w->ctx, p.bytes);
    if (s == SQZ_OK && broken)
        s = sqz_fail(f->w->ctx, SQZ_E_GATE,
                     "a limit that held on the judging data is broken on the test data");
    return s;
}

static sqz_status search(sqz_fit_state *f)
{
    SQZ_TRY(sqz_fit_open(f, f->w));
    SQZ_TRY(sqz_fit_try(f, "float", NULL, NULL));
    SQZ_TRY(try_calibrators(f));
    SQZ_TRY(try_methods(f));
    SQZ_TRY(try_fewer_bits(f));
    SQZ_TRY(try_fallbacks(f));
    const sqz_trial *best = sqz_fit_best(f);
    return best && best->fits ? deliver(f, best) : give_up(f, best);
}

static sqz_status fit(sqz_work *w)
{
    SQZ_TRY(open_all(w));
    if (w->job.dry_run) { /* float once, five calibrators, the winner and float on the test data */
        double judged = 6.0 * (double)w->judge->n,
               tested = 2.0 * (double)(w->test ? w->test : w->judge)->n;
        return sqz_work_dry_run(w, w->judge,
                                (double)SQZ_MIN(sqz_work_samples(w), w->calib->n) + judged + tested,
                                w->job.out);
    }
    sqz_fit_state f = {.w = w};
    sqz_status s = search(&f);
    sqz_fit_close(&f);
    return s;
}

sqz_status sqz_fit(sqz_ctx *ctx, const sqz_job *job, sqz_report **out)
{
    return sqz_work_do(ctx, job, "fit", fit, out);
}
