/* distill_data.c: what is trained on, what is chosen on, and what is only reported on. Where a set
 * has no `valid`, a tenth of its `train` is kept apart, drawn by the seed. */
#include "api/distill.h"
#include <string.h>

#define APART 10 /* one in so many samples */

/* ---- samples of a set that belong together ---- */

typedef struct view {
    sqz_dataset ds;
    sqz_dataset *of;
    int64_t *place; /* ds.n, ascending */
} view;

/* In runs of neighbors: as few calls as can be, forwards. */
static sqz_status read_view(sqz_dataset *ds, int64_t first, int64_t n, float *x, float *y)
{
    const view *v = ds->impl;
    size_t one, label = 1;
    SQZ_TRY(sqz_shape_count(ds->ctx, &ds->shape, SQZ_F32, &one, NULL));
    if (ds->has_labels && !ds->classes)
        SQZ_TRY(sqz_shape_count(ds->ctx, &ds->label_shape, SQZ_F32, &label, NULL));
    for (int64_t i = 0; i < n;) {
        const int64_t *at = v->place + first + i;
        int64_t run = 1;
        while (i + run < n && at[run] == at[0] + run)
            run++;
        SQZ_TRY(sqz_data_read(v->of, at[0], run, x + (size_t)i * one,
                              y ? y + (size_t)i * label : NULL));
        i += run;
    }
    return SQZ_OK;
}

static sqz_status view_of(sqz_course *c, sqz_dataset *of, const bool *apart, bool which,
                          sqz_dataset **out)
{
    static const sqz_data_format format = {.info = {.name = "part"}, .read = read_view};
    sqz_arena *a = &c->w->arena;
    view *v = sqz_arena_alloc(a, 1, sizeof *v);
    int64_t *place = sqz_arena_alloc(a, (size_t)of->n, sizeof *place);
    int64_t n = 0;
    if (!v || !place)
        return SQZ_E_NOMEM;
    for (int64_t i = 0; i < of->n; i++)
        if (apart[i] == which)
            place[n++] = i;
    *v = (view){.ds = *of, .of = of, .place = place};
    v->ds.format = &format;
    v->ds.impl = v;
    v->ds.n = n;
    v->ds.checksum[0] = 0;
    *out = &v->ds;
    return SQZ_OK;
}

/* Vitter's selection sampling: exactly `n` of them, each choice of n equally likely. */
static bool *draw(sqz_course *c, int64_t of, int64_t n)
{
    sqz_rng r = {.seed = c->w->job.seed ^ 0x6170617274u};
    bool *yes = sqz_arena_alloc(&c->w->arena, (size_t)of, sizeof *yes);
    for (int64_t i = 0; yes && i < of; i++)
        if (sqz_rng_below(&r, (uint64_t)(of - i)) < (uint64_t)n) {
            yes[i] = true;
            n--;
        }
    return yes;
}

/* Two handles on the set: the loader reads from a thread of its own. */
static sqz_status keep_apart(sqz_course *c)
{
    sqz_work *w = c->w;
    const int64_t n = w->calib->n / APART;
    if (n < 1)
        return sqz_fail(w->ctx, SQZ_E_ARG,
                        "'%s' has no split `valid` to choose on, and %lld samples are too few to "
                        "keep a tenth apart: give --valid SET",
                        w->calib->path, (long long)w->calib->n);
    const bool *apart = draw(c, w->calib->n, n);
    if (!apart)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_work_data(w, w->job.data, "train", &w->judge));
    SQZ_TRY(view_of(c, w->calib, apart, false, &c->train));
    SQZ_TRY(view_of(c, w->judge, apart, true, &c->valid));
    sqz_str_addf(&w->notes,
                 "there is no split `valid`: %lld of the %lld training samples, drawn by the seed, "
                 "are not trained on but chosen on\n",
                 (long long)n, (long long)w->calib->n);
    return SQZ_OK;
}

/* ---- the sets ---- */

static bool is_synthetic(const sqz_course *c)
{
    return c->w->job.data && strcmp(c->w->job.data, "synthetic") == 0;
}

static sqz_status same_form(sqz_course *c, const sqz_dataset *other, const char *what)
{
    const sqz_dataset *t = c->train;
    char a[160], b[160];
    if (!sqz_shape_eq(&t->shape, &other->shape)) {
        sqz_shape_print(a, &t->shape);
        sqz_shape_print(b, &other->shape);
        return sqz_fail(c->w->ctx, SQZ_E_SHAPE, "samples of '%s' are %s, those of the %s '%s' %s",
                        t->path, a, what, other->path, b);
    }
    if (other->has_labels && t->has_labels && (other->classes > 0) != (t->classes > 0))
        return sqz_fail(c->w->ctx, SQZ_E_ARG, "labels of '%s' are %s, those of the %s '%s' are %s",
                        t->path, t->classes ? "classes" : "numbers", what, other->path,
                        other->classes ? "classes" : "numbers");
    return SQZ_OK;
}

static sqz_status open_valid(sqz_course *c)
{
    sqz_work *w = c->w;
    if (w->job.valid) {
        SQZ_TRY(sqz_work_data(w, w->job.valid, "valid", &w->judge));
    } else if (w->judge) {
        c->valid = w->judge; /* made, as the rest */
        return SQZ_OK;
    } else if (sqz_data_has_split(w->ctx, w->job.data, "valid")) {
        SQZ_TRY(sqz_work_data(w, w->job.data, "valid", &w->judge));
    } else {
        return keep_apart(c);
    }
    c->valid = w->judge;
    return same_form(c, c->valid, "validation set");
}

static sqz_status open_test(sqz_course *c)
{
    sqz_work *w = c->w;
    if (w->job.test)
        SQZ_TRY(sqz_work_data(w, w->job.test, "test", &w->test));
    else if (!is_synthetic(c) && sqz_data_has_split(w->ctx, w->job.data, "test"))
        SQZ_TRY(sqz_work_data(w, w->job.data, "test", &w->test));
    return w->test ? same_form(c, w->test, "test set") : SQZ_OK;
}

sqz_status sqz_course_data(sqz_course *c)
{
    sqz_work *w = c->w;
    w->job.split = NULL; /* which is for what is not to be chosen */
    SQZ_TRY(is_synthetic(c) ? sqz_course_synthetic(c)
                            : sqz_work_data(w, w->job.data, "train", &w->calib));
    c->train = w->calib;
    SQZ_TRY(open_valid(c));
    SQZ_TRY(open_test(c));
    SQZ_TRY(sqz_data_checksum(w->calib));
    c->batch = w->job.batch > 0 ? w->job.batch : SQZ_MIN(c->train->n, 128);
    return SQZ_OK;
}
