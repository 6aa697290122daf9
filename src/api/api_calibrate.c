/* api_calibrate.c: squeeze calibrate: activation ranges from data, saved as ranges.json. */
#include "api/work.h"

static void describe_ranges(sqz_work *w, const sqz_ranges *r)
{
    sqz_view_heading(w->rep, "Ranges by %s over %llu samples", r->calibrator,
                     (unsigned long long)r->samples);
    sqz_view_table(w->rep, "value|>low|>high|>min seen|>max seen|>clipped|rule");
    for (uint32_t i = 0; i < r->n; i++)
        sqz_view_row(w->rep, "%s|%.5g|%.5g|%.5g|%.5g|%.3f %%|%s", r->item[i].name,
                     (double)r->item[i].range.lo, (double)r->item[i].range.hi,
                     (double)r->item[i].min, (double)r->item[i].max, 100.0 * r->item[i].clipped,
                     r->item[i].rule);
    sqz_json_str(w->rep, NULL, "calibrator", r->calibrator);
    sqz_json_num(w->rep, NULL, "samples", (double)r->samples);
    sqz_json_num(w->rep, NULL, "values", r->n);
}

static sqz_status calibrate(sqz_work *w)
{
    SQZ_TRY(sqz_work_model(w));
    SQZ_TRY(sqz_work_data(w, w->job.data, "calib|train", &w->calib));
    if (w->job.dry_run)
        return sqz_work_dry_run(w, w->calib, (double)SQZ_MIN(sqz_work_samples(w), w->calib->n),
                                w->job.out);
    SQZ_TRY(sqz_stats_collect(w->graph, w->calib, w->job.layout, sqz_work_samples(w), w->job.batch,
                              &w->stats));
    sqz_ranges *r;
    SQZ_TRY(
        sqz_ranges_from_stats(w->ctx, w->stats, w->job.calibrator ? w->job.calibrator : "mse", &r));
    describe_ranges(w, r);
    sqz_status s = SQZ_OK;
    if (w->job.out)
        s = sqz_ranges_save(w->ctx, r, w->job.out);
    sqz_ranges_free(w->ctx, r);
    if (s == SQZ_OK && w->job.out)
        sqz_view_text(w->rep, "written to %s", w->job.out);
    return s;
}

sqz_status sqz_calibrate(sqz_ctx *ctx, const sqz_job *job, sqz_report **out)
{
    return sqz_work_do(ctx, job, "calibrate", calibrate, out);
}
