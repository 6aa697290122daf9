/* api_distill.c: squeeze distill: a model trained on data, alone or from teachers. */
#include "api/distill.h"

/* On data that nothing was chosen by. */
static sqz_status report_test(sqz_course *c)
{
    sqz_work *w = c->w;
    const sqz_eval_options o = {.layout = w->job.layout, .limit = w->job.limit};
    sqz_eval_result *r;
    sqz_graph *folded;
    if (!w->test || !w->test->has_labels || w->job.until)
        return SQZ_OK;
    SQZ_TRY(sqz_course_folded(w->graph, &folded));
    sqz_status s = sqz_eval_graph(folded, w->test, &o, &r);
    sqz_graph_free(folded);
    SQZ_TRY(sqz_note(w->ctx, s, "the test set"));
    sqz_view_heading(w->rep, "Accuracy on test data");
    sqz_describe_metrics(w, "accuracy", r);
    sqz_eval_free(w->ctx, r);
    if (!c->n_teacher)
        return SQZ_OK;
    SQZ_TRY(sqz_eval_graph(c->teacher[0], w->test, &o, &r));
    sqz_view_heading(w->rep, "Accuracy of the %s on test data",
                     w->job.n_teachers ? "teacher" : "float model");
    sqz_describe_metrics(w, "reference_accuracy", r);
    sqz_eval_free(w->ctx, r);
    return SQZ_OK;
}

static sqz_status train(sqz_course *c)
{
    SQZ_TRY(sqz_course_open(c));
    SQZ_TRY(sqz_course_data(c));
    SQZ_TRY(sqz_course_model(c));
    SQZ_TRY(sqz_course_make(c));
    if (c->w->job.dry_run)
        return sqz_course_dry_run(c);
    SQZ_TRY(sqz_course_warn(c));
    SQZ_TRY(sqz_course_run(c));
    sqz_course_describe(c);
    SQZ_TRY(report_test(c));
    sqz_status s = sqz_course_write(c);
    if (s == SQZ_OK || s == SQZ_E_GATE)
        sqz_describe_notes(c->w);
    return s;
}

static sqz_status distill(sqz_work *w)
{
    sqz_course c = {.w = w};
    sqz_status s = train(&c);
    sqz_course_close(&c);
    return s;
}

sqz_status sqz_distill(sqz_ctx *ctx, const sqz_job *job, sqz_report **out)
{
    return sqz_work_do(ctx, job, "distill", distill, out);
}
