/* api_evaluate.c: squeeze evaluate: accuracy on data, error against a reference, and the fit on a
 * device. */
#include "api/work.h"
#include "exec/exec.h"
#include <math.h>
#include <string.h>

/* The metric that limits are about: the one asked for, else the first. */
static const sqz_eval_metric *judged(const sqz_work *w, const sqz_eval_result *r)
{
    const char *name = w->device && w->device->limits.accuracy.set
                           ? w->device->limits.accuracy.metric
                           : NULL;
    for (unsigned i = 0; name && i < r->n_metric; i++)
        if (strcmp(r->metric[i].metric->info.name, name) == 0)
            return &r->metric[i];
    return r->n_metric ? &r->metric[0] : NULL;
}

static sqz_status verdict(sqz_work *w, const sqz_eval_result *r, double reference)
{
    sqz_estimate *e;
    const sqz_eval_metric *m = judged(w, r);
    SQZ_TRY(sqz_estimate_graph(w->graph, w->device, &e));
    sqz_view_heading(w->rep, "Device");
    sqz_describe_estimate(w, "estimate", e);
    unsigned broken = sqz_describe_limits(w, "limits", e, m && m->metric->fraction ? m->value : NAN,
                                          reference);
    sqz_estimate_free(w->ctx, e);
    return broken ? sqz_fail(w->ctx, SQZ_E_GATE, "%u limit%s broken", broken,
                             broken == 1 ? " is" : "s are")
                  : SQZ_OK;
}

static sqz_status run_eval(sqz_work *w, const sqz_graph *g, bool with_reference,
                           sqz_profile *profile, sqz_eval_result **out)
{
    const sqz_eval_options o = {.layout = w->job.layout,
                                .metrics = w->job.metric,
                                .limit = w->job.limit,
                                .batch = w->job.batch,
                                .reference = with_reference ? w->reference : NULL,
                                .profile = profile,
                                .layers = with_reference && w->job.layers};
    return sqz_eval_graph(g, w->judge, &o, out);
}

static sqz_status describe_all(sqz_work *w, const sqz_eval_result *r, const sqz_eval_result *ref,
                               const sqz_profile *profile)
{
    sqz_view_heading(w->rep, "Accuracy on %s%s%s", w->judge->path,
                     w->judge->split ? ", split " : "", w->judge->split ? w->judge->split : "");
    sqz_describe_metrics(w, "accuracy", r);
    double reference = NAN;
    if (ref) {
        sqz_view_heading(w->rep, "Accuracy of the reference %s", w->job.against);
        sqz_describe_metrics(w, "reference_accuracy", ref);
        const sqz_eval_metric *m = judged(w, ref);
        reference = m && m->metric->fraction ? m->value : NAN;
    }
    if (w->job.layers)
        SQZ_TRY(sqz_describe_layers(w, w->graph, w->reference, w->judge, r));
    if (w->job.profile)
        SQZ_TRY(sqz_describe_profile(w, w->graph, profile));
    return w->device ? verdict(w, r, reference) : SQZ_OK;
}

static sqz_status evaluate(sqz_work *w)
{
    sqz_eval_result *r = NULL, *ref = NULL;
    SQZ_TRY(sqz_work_model(w));
    SQZ_TRY(sqz_work_reference(w));
    SQZ_TRY(sqz_work_device(w));
    SQZ_TRY(sqz_work_data(w, w->job.data, "test|valid", &w->judge));
    sqz_describe_model(w, "model", w->graph, (double)w->source.bytes);
    if (w->job.dry_run) {
        int64_t n = w->job.limit > 0 ? SQZ_MIN(w->job.limit, w->judge->n) : w->judge->n;
        return sqz_work_dry_run(w, w->judge, (double)n * (w->reference ? 3 : 1), w->job.out);
    }
    sqz_profile profile;
    sqz_arena a = {.ctx = w->ctx};
    sqz_status s = sqz_profile_new(w->graph, &a, &profile);
    if (s == SQZ_OK)
        s = run_eval(w, w->graph, w->reference != NULL, w->job.profile ? &profile : NULL, &r);
    if (s == SQZ_OK && w->reference && w->judge->has_labels && !w->job.metric)
        s = run_eval(w, w->reference, false, NULL, &ref);
    if (s == SQZ_OK)
        s = describe_all(w, r, ref, &profile);
    sqz_arena_free(&a);
    sqz_eval_free(w->ctx, r);
    sqz_eval_free(w->ctx, ref);
    if ((s == SQZ_OK || s == SQZ_E_GATE) && w->job.out) {
        sqz_status written = sqz_report_write(w->rep, "html", w->job.out);
        s = written == SQZ_OK ? s : written;
    }
    return s;
}

sqz_status sqz_evaluate(sqz_ctx *ctx, const sqz_job *job, sqz_report **out)
{
    return sqz_work_do(ctx, job, "evaluate", evaluate, out);
}
