/* distill_warn.c: what is said of a training before the time is spent, and after. */
#include "api/distill.h"
#include <math.h>
#include <string.h>

#define UNEVEN 5.0                /* largest class over smallest */
#define UNSURE 0.5                /* mean of the teacher's largest probability */
#define LOOKED 512                /* samples that the teacher is looked at on */
#define ROWS   ((int64_t)1 << 20) /* labels that are counted at most */

/* ---- classes ---- */

static sqz_status count_classes(sqz_course *c, int64_t *count)
{
    sqz_dataset *ds = c->train;
    enum { BLOCK = 256 };
    size_t one;
    sqz_status s = SQZ_OK;
    SQZ_TRY(sqz_shape_count(c->w->ctx, &ds->shape, SQZ_F32, &one, NULL));
    float y[BLOCK], *x = sqz_malloc(c->w->ctx, one * BLOCK * sizeof *x);
    if (!x)
        return SQZ_E_NOMEM;
    const int64_t n = SQZ_MIN(ds->n, ROWS);
    for (int64_t i = 0; i < n && s == SQZ_OK; i += BLOCK) {
        const int64_t now = SQZ_MIN(n - i, (int64_t)BLOCK);
        s = sqz_data_read(ds, i, now, x, y);
        for (int64_t k = 0; k < now && s == SQZ_OK; k++)
            if (y[k] >= 0 && (int64_t)y[k] < ds->classes)
                count[(int64_t)y[k]]++;
    }
    sqz_free(c->w->ctx, x);
    return s;
}

static sqz_status uneven_classes(sqz_course *c)
{
    const int64_t n = c->train->classes;
    int64_t least = 0, most = 0, missing = 0;
    if (!c->train->has_labels || n < 2)
        return SQZ_OK;
    int64_t *count = sqz_calloc(c->w->ctx, (size_t)n, sizeof *count);
    if (!count)
        return SQZ_E_NOMEM;
    sqz_status s = count_classes(c, count);
    for (int64_t k = 0; k < n; k++) {
        missing += !count[k];
        most = count[k] > count[most] ? k : most;
        least = count[k] && (!count[least] || count[k] < count[least]) ? k : least;
    }
    if (s == SQZ_OK && missing)
        sqz_str_addf(&c->w->notes,
                     "%lld of %lld classes have no training sample: the model unlearns them\n",
                     (long long)missing, (long long)n);
    if (s == SQZ_OK && (double)count[most] > UNEVEN * (double)count[least])
        sqz_str_addf(&c->w->notes,
                     "classes are uneven: class %lld has %lld training samples, class %lld only "
                     "%lld: judge by --metric f1, and even them out where the use does not\n",
                     (long long)most, (long long)count[most], (long long)least,
                     (long long)count[least]);
    sqz_free(c->w->ctx, count);
    return s;
}

/* ---- the teacher and the data ---- */

static double largest_probability(const float *z, size_t n)
{
    double top = -INFINITY, sum = 0, all = 0;
    bool probabilities = true;
    for (size_t i = 0; i < n; i++) {
        top = fmax(top, (double)z[i]);
        all += (double)z[i];
        probabilities = probabilities && z[i] >= 0;
    }
    if (probabilities && fabs(all - 1) < 1e-3)
        return top;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)z[i] - top);
    return 1 / sum;
}

/* A teacher that does not know the data answers without conviction. */
static sqz_status confidence(sqz_course *c)
{
    const sqz_eval_options o = {
        .layout = c->w->job.layout, .metrics = "", .limit = LOOKED, .keep_outputs = true};
    sqz_eval_result *r;
    double sum = 0;
    if (!c->one_hot || c->train->classes < 2)
        return SQZ_OK;
    SQZ_TRY(sqz_note(c->w->ctx, sqz_eval_graph(c->teacher[0], c->train, &o, &r), "the teacher"));
    for (int64_t i = 0; i < r->samples; i++)
        sum += largest_probability(r->output + (size_t)i * r->row, r->row);
    const double mean = sum / (double)r->samples;
    sqz_eval_free(c->w->ctx, r);
    if (mean < UNSURE)
        sqz_str_addf(&c->w->notes,
                     "the teacher is unsure of this data: its largest probability is %.2f in the "
                     "mean; was it trained on such data, prepared like this?\n",
                     mean);
    return SQZ_OK;
}

/* What the batch norms of the teacher remember, against what they meet. */
static sqz_status unlike_teacher(sqz_course *c)
{
    sqz_work *w = c->w;
    sqz_graph *model = w->graph;
    if (!c->n_teacher)
        return SQZ_OK;
    w->graph = c->teacher[0];
    sqz_status s = sqz_warn_of_norms(w);
    sqz_work_forget(w);
    w->graph = model;
    return s == SQZ_OK ? confidence(c) : s;
}

sqz_status sqz_course_warn(sqz_course *c)
{
    SQZ_TRY(uneven_classes(c));
    return unlike_teacher(c);
}

/* ---- afterwards ---- */

void sqz_course_note_outcome(sqz_course *c, double score)
{
    sqz_str *notes = &c->w->notes;
    uint32_t n;
    (void)sqz_trainer_epochs(c->trainer, &n);
    if (c->end == SQZ_TRAIN_EARLY)
        sqz_str_addf(notes,
                     "stopped early, after %u of %lld epochs: the last %lld were no better\n",
                     (unsigned)n, (long long)sqz_course_epochs(c), (long long)c->w->job.patience);
    if (c->end == SQZ_TRAIN_DIVERGED)
        sqz_str_addf(notes, "the training diverged: %s\n", sqz_trainer_why(c->trainer));
    if (score <= c->first)
        sqz_str_add(notes, "training has not made the model better on `valid`\n");
    if (c->taught <= c->first)
        sqz_str_add(notes, "the teacher is no better on `valid` than the model was before: is it "
                           "the right one, and the data prepared as it wants it?\n");
    else if (c->taught < score)
        sqz_str_add(notes, "the student is better on `valid` than its teacher\n");
}
