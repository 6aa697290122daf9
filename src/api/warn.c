/* warn.c: what is said before the budget is spent on data that is unlike what the model was trained
 * on, unlike what it is judged on, or too little. */
#include "api/work.h"
#include <math.h>
#include <string.h>

#define UNLIKE_SHARE  0.01 /* of judged values outside of what calibration saw */
#define UNLIKE_MEAN   1.0  /* standard deviations that a mean may be off */
#define UNLIKE_SPREAD 2.0  /* factor that a standard deviation may be off */
#define HALF_DIFFERS  0.2  /* relative difference of the ranges of two halves */
#define HALF_SAMPLES  64   /* of each half */

/* ---- ranges of judged data ---- */

static const sqz_hist *seen_of(const sqz_stats *s, sqz_vid v)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->item[i].value == v)
            return s->item[i].hist;
    return NULL;
}

static void compare_ranges(sqz_work *w, const sqz_stats *calib, const sqz_stats *judge)
{
    uint32_t bad = 0, worst = 0;
    double most = 0.0;
    for (uint32_t i = 0; i < judge->n; i++) {
        const sqz_hist *c = seen_of(calib, judge->item[i].value), *j = judge->item[i].hist;
        if (!c || !c->count || !j->count || j->ends_only || c->ends_only)
            continue;
        double out = sqz_hist_outside(j, (sqz_range){c->min, c->max});
        bad += out > UNLIKE_SHARE;
        if (out > most) {
            most = out;
            worst = i;
        }
    }
    if (!bad)
        return;
    const sqz_hist *j = judge->item[worst].hist, *c = seen_of(calib, judge->item[worst].value);
    sqz_str_addf(&w->notes,
                 "the data to judge on goes beyond the calibration data: at value '%s' %.1f %% of "
                 "it lies outside of %.4g to %.4g (it goes from %.4g to %.4g); %u of %u values "
                 "are affected: calibrate on data like that which the model will see\n",
                 judge->item[worst].name, 100.0 * most, (double)c->min, (double)c->max,
                 (double)j->min, (double)j->max, (unsigned)bad, (unsigned)judge->n);
}

static bool same_set(const sqz_dataset *a, const sqz_dataset *b)
{
    const char *x = a->split ? a->split : "", *y = b->split ? b->split : "";
    return strcmp(a->path, b->path) == 0 && strcmp(x, y) == 0;
}

static sqz_status judge_ranges(sqz_work *w, const sqz_stats *calib)
{
    sqz_stats *judge = NULL;
    if (!w->judge || same_set(w->judge, w->calib))
        return SQZ_OK;
    SQZ_TRY(
        sqz_stats_collect(w->graph, w->judge, w->job.layout, HALF_SAMPLES, w->job.batch, &judge));
    compare_ranges(w, calib, judge);
    sqz_stats_free(w->ctx, judge);
    return SQZ_OK;
}

/* ---- batch norms ---- */

static void moments(const sqz_hist *h, double *mean, double *sd)
{
    double n = 0.0, sum = 0.0, square = 0.0;
    for (size_t i = 0; i < SQZ_HIST_BINS; i++) {
        double x = 0.5 * (sqz_hist_edge(h, i) + sqz_hist_edge(h, i + 1)), k = (double)h->bin[i];
        n += k;
        sum += k * x;
        square += k * x * x;
    }
    *mean = n > 0.0 ? sum / n : 0.0;
    *sd = n > 0.0 ? sqrt(fmax(square / n - *mean * *mean, 0.0)) : 0.0;
}

/* Of all channels together, as the batch norm has it. */
static void expected(const sqz_normal *b, double *mean, double *sd)
{
    double sum = 0.0, square = 0.0;
    for (uint32_t c = 0; c < b->n; c++) {
        double m = (double)b->mean[c], s = (double)b->sd[c];
        sum += m;
        square += m * m + s * s;
    }
    *mean = b->n ? sum / b->n : 0.0;
    *sd = b->n ? sqrt(fmax(square / b->n - *mean * *mean, 0.0)) : 0.0;
}

/* The first layer with a batch norm is the closest to the data: it is where wrong preprocessing
 * shows. */
static void batch_norms(sqz_work *w, const sqz_stats *calib)
{
    uint32_t bad = 0, all = 0;
    const char *first = NULL;
    double have[2] = {0}, want[2] = {0};
    for (uint32_t i = 0; i < calib->n; i++) {
        const sqz_normal *b = sqz_val(w->graph, calib->item[i].value)->normal;
        const sqz_hist *h = calib->item[i].hist;
        double m, s, bm, bs;
        if (!b || !h->count || h->ends_only)
            continue;
        moments(h, &m, &s);
        expected(b, &bm, &bs);
        bool unlike = fabs(m - bm) > UNLIKE_MEAN * bs || s > UNLIKE_SPREAD * bs ||
                      s * UNLIKE_SPREAD < bs;
        all++;
        bad += unlike;
        if (unlike && !first) {
            first = calib->item[i].name;
            have[0] = m, have[1] = s;
            want[0] = bm, want[1] = bs;
        }
    }
    if (bad * 4 <= all)
        return;
    sqz_str_addf(&w->notes,
                 "the data is unlike what the model was trained on: %u of %u layers with batch "
                 "norms are far from what these remember, the first is '%s' with mean %.4g and "
                 "deviation %.4g where %.4g and %.4g are expected: is the preprocessing right "
                 "(scale, mean, order of channels)?\n",
                 (unsigned)bad, (unsigned)all, first, have[0], have[1], want[0], want[1]);
}

/* ---- halves ---- */

typedef struct half { /* every other sample of a set */
    sqz_dataset *of;
    int64_t first;
} half;

static sqz_status read_half(sqz_dataset *ds, int64_t first, int64_t n, float *x, float *y)
{
    const half *h = ds->impl;
    size_t count, bytes;
    SQZ_TRY(sqz_shape_count(ds->ctx, &ds->shape, SQZ_F32, &count, &bytes));
    (void)y;
    for (int64_t i = 0; i < n; i++)
        SQZ_TRY(sqz_data_read(h->of, 2 * (first + i) + h->first, 1, x + (size_t)i * count, NULL));
    return SQZ_OK;
}

static sqz_status ranges_of_half(sqz_work *w, int64_t first, sqz_ranges **out)
{
    static const sqz_data_format format = {.info = {.name = "half"}, .read = read_half};
    half h = {w->calib, first};
    sqz_dataset ds = *w->calib;
    sqz_stats *stats = NULL;
    ds.format = &format;
    ds.impl = &h;
    ds.n = w->calib->n / 2;
    ds.has_labels = false;
    SQZ_TRY(sqz_stats_collect(w->graph, &ds, w->job.layout, HALF_SAMPLES, w->job.batch, &stats));
    sqz_status s = sqz_ranges_from_stats(w->ctx, stats, "percentile(p=99.9)", out);
    sqz_stats_free(w->ctx, stats);
    return s;
}

static void compare_halves(sqz_work *w, const sqz_ranges *a, const sqz_ranges *b)
{
    uint32_t bad = 0, worst = 0, n = SQZ_MIN(a->n, b->n);
    double most = 0.0;
    for (uint32_t i = 0; i < n; i++) {
        double x = (double)a->item[i].range.hi - (double)a->item[i].range.lo;
        double y = (double)b->item[i].range.hi - (double)b->item[i].range.lo;
        double differ = fmax(x, y) > 0.0 ? fabs(x - y) / fmax(x, y) : 0.0;
        bad += differ > HALF_DIFFERS;
        if (differ > most) {
            most = differ;
            worst = i;
        }
    }
    if (bad * 20 <= n)
        return;
    sqz_str_addf(
        &w->notes,
        "two halves of the calibration data give ranges that differ by more than %.0f %% at "
        "%u of %u values, most at '%s' (%.4g to %.4g, and %.4g to %.4g): more samples, or "
        "better mixed ones, are wanted\n",
        100.0 * HALF_DIFFERS, (unsigned)bad, (unsigned)n, a->item[worst].name,
        (double)a->item[worst].range.lo, (double)a->item[worst].range.hi,
        (double)b->item[worst].range.lo, (double)b->item[worst].range.hi);
}

static sqz_status halves(sqz_work *w)
{
    sqz_ranges *a = NULL, *b = NULL;
    if (w->calib->n < 2 || w->calib->n_part)
        return SQZ_OK;
    sqz_status s = ranges_of_half(w, 0, &a);
    if (s == SQZ_OK)
        s = ranges_of_half(w, 1, &b);
    if (s == SQZ_OK)
        compare_halves(w, a, b);
    sqz_ranges_free(w->ctx, a);
    sqz_ranges_free(w->ctx, b);
    return s;
}

sqz_status sqz_warn_of_norms(sqz_work *w)
{
    const sqz_stats *calib;
    SQZ_TRY(sqz_work_stats(w, "", &calib));
    batch_norms(w, calib);
    return SQZ_OK;
}

sqz_status sqz_warn_of_data(sqz_work *w)
{
    const sqz_stats *calib;
    if (!w->calib || w->job.ranges)
        return SQZ_OK;
    SQZ_TRY(sqz_work_stats(w, "", &calib));
    batch_norms(w, calib);
    SQZ_TRY(judge_ranges(w, calib));
    return halves(w);
}
