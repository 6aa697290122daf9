/* distill_run.c: the training itself: what a step reads, what an epoch is judged by, and the file
 * in the end. */
#include "api/distill.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- a step ---- */

static sqz_loss_step loss_step(const sqz_course *c, const sqz_train_step *s, const int64_t *sample)
{
    return (sqz_loss_step){
        .epoch = s->epochs, .step = s->step, .seed = c->w->job.seed, .sample = sample};
}

sqz_status sqz_course_fill(void *course, const sqz_tape *t, const sqz_train_step *s)
{
    sqz_course *c = course;
    const sqz_objective *o = c->objective;
    sqz_batch b;
    SQZ_TRY(sqz_loader_batch(c->loader, s->epoch, s->in_epoch, &b));
    SQZ_TRY(sqz_feeds_apply(&c->feeds, c->part, b.x, c->in));
    if (o->label != SQZ_NONE)
        memcpy(sqz_tape_data(t, o->label), b.y, sqz_tape_count(t, o->label) * sizeof(float));
    if (c->answers)
        SQZ_TRY(sqz_teacher_fill(c->answers, b.x, b.sample, t));
    const sqz_loss_step step = loss_step(c, s, b.sample);
    c->sample = b.sample;
    return sqz_objective_before(o, t, &step);
}

sqz_status sqz_course_after(void *course, const sqz_tape *t, const sqz_train_step *s)
{
    sqz_course *c = course;
    const sqz_loss_step step = loss_step(c, s, c->sample);
    return sqz_objective_after(c->objective, t, &step);
}

/* ---- judging ---- */

/* What suits the labels; without labels, what the teacher says; else nothing. */
static const char *choosing_metric(const sqz_course *c)
{
    const sqz_job *j = &c->w->job;
    if (j->metric || (c->valid->has_labels && !j->until))
        return j->metric ? j->metric : c->valid->classes > 0 ? "top1" : "mse";
    return c->n_teacher && !j->until ? "kl" : NULL;
}

static sqz_status evaluate(sqz_course *c, const sqz_graph *g, sqz_dataset *ds, const char *metrics,
                           sqz_eval_result **out)
{
    const sqz_metric *m = NULL;
    char name[64] = "";
    if (metrics) {
        (void)snprintf(name, sizeof name, "%.*s", (int)SQZ_MIN(strcspn(metrics, "(,"), 63),
                       metrics);
        m = sqz_metric_find(name);
    }
    const bool compared = m && (m->needs & SQZ_M_REFERENCE) && c->n_teacher;
    const sqz_eval_options o = {.layout = c->w->job.layout,
                                .metrics = metrics,
                                .limit = c->w->job.limit,
                                .reference = compared ? c->teacher[0] : NULL};
    return sqz_eval_graph(g, ds, &o, out);
}

sqz_status sqz_course_score(sqz_course *c, const sqz_graph *g, double *score)
{
    sqz_eval_result *r;
    sqz_graph *folded;
    SQZ_TRY(sqz_course_folded(g, &folded));
    sqz_status s = evaluate(c, folded, c->valid, c->metric, &r);
    sqz_graph_free(folded);
    SQZ_TRY(s);
    c->judged = r->metric[0].metric;
    *score = c->judged->higher_is_better ? r->metric[0].value : -r->metric[0].value;
    sqz_eval_free(c->w->ctx, r);
    return SQZ_OK;
}

double sqz_course_value(const sqz_course *c, double score)
{
    return c->judged && !c->judged->higher_is_better ? -score : score;
}

static sqz_status judge_epoch(void *course, const sqz_trainer *t, double *score)
{
    sqz_course *c = course;
    sqz_graph *copy;
    sqz_status s = SQZ_OK;
    if (c->qat) {
        SQZ_TRY(sqz_course_quantized(c, t, &copy));
    } else {
        SQZ_TRY(sqz_graph_clone(c->w->graph, &copy));
        s = sqz_trainer_write(t, copy);
    }
    if (s == SQZ_OK)
        s = sqz_course_score(c, copy, score);
    sqz_graph_free(copy);
    return s;
}

static void tell_epoch(void *course, const sqz_train_step *s, const sqz_epoch *e)
{
    const sqz_course *c = course;
    char value[48] = "-";
    if (c->judged)
        sqz_print_metric(value, c->judged, sqz_course_value(c, e->score));
    sqz_log(c->w->ctx, SQZ_LOG_INFO, "epoch %llu of %lld: loss %.4g, %s %s, learning rate %.3g",
            (unsigned long long)s->epoch + 1, (long long)sqz_course_epochs(c), e->report[0],
            c->judged ? c->judged->info.name : "metric", value, e->rate);
}

/* ---- before and after ---- */

static sqz_status score_before(sqz_course *c)
{
    c->metric = choosing_metric(c);
    c->first = c->taught = c->unquantized = NAN;
    if (!c->metric)
        return SQZ_OK;
    SQZ_TRY(sqz_note(c->w->ctx, sqz_course_score(c, c->w->graph, &c->first), "the model"));
    if (c->qat) {
        c->unquantized = c->first;
        SQZ_TRY(sqz_course_score(c, c->quantized, &c->first));
    }
    if (!c->w->job.n_teachers || !(c->judged->needs & (SQZ_M_CLASSES | SQZ_M_VALUES)))
        return SQZ_OK;
    sqz_eval_result *r;
    SQZ_TRY(
        sqz_note(c->w->ctx, evaluate(c, c->teacher[0], c->valid, c->metric, &r), "the teacher"));
    c->taught = c->judged->higher_is_better ? r->metric[0].value : -r->metric[0].value;
    sqz_eval_free(c->w->ctx, r);
    return SQZ_OK;
}

static sqz_status open_cache(sqz_course *c)
{
    const sqz_job *j = &c->w->job;
    sqz_cache_report r;
    const sqz_teacher_cache o = {
        .dir = j->cache, .teachers = c->teachers, .augment = j->augment ? j->augment : ""};
    if (!j->cache || !c->answers)
        return SQZ_OK;
    if (!sqz_loader_repeats(c->loader))
        return sqz_fail(c->w->ctx, SQZ_E_ARG,
                        "--cache keeps answers to samples that stay the same, and --augment or "
                        "--mixup varies them");
    SQZ_TRY(sqz_data_checksum(c->train));
    SQZ_TRY(sqz_teacher_open_cache(c->answers, c->train, &o, &r));
    char size[32];
    sqz_print_bytes(size, r.bytes);
    sqz_view_text(c->w->rep, "answers of the teacher: %lld samples computed, %lld read, %s in %s",
                  (long long)r.computed, (long long)r.read, size, j->cache);
    return SQZ_OK;
}

static sqz_status take_up(sqz_course *c)
{
    double met = 0;
    if (c->w->job.restart && c->team->rank == 0)
        (void)remove(c->checkpoint);
    SQZ_TRY(c->team->sum(c->team->user, &met, 1)); /* nobody looks before it is gone */
    SQZ_TRY(sqz_note(c->w->ctx, sqz_trainer_resume(c->trainer, &c->resumed),
                     "cannot go on (--restart begins anew)"));
    if (c->resumed)
        sqz_log(c->w->ctx, SQZ_LOG_INFO, "going on from '%s'", c->checkpoint);
    return SQZ_OK;
}

/* ---- all of it ---- */

sqz_status sqz_course_run(sqz_course *c)
{
    const sqz_train_hooks hooks = {.user = c,
                                   .fill = sqz_course_fill,
                                   .after = sqz_course_after,
                                   .evaluate = choosing_metric(c) ? judge_epoch : NULL,
                                   .epoch_done = tell_epoch};
    SQZ_TRY(score_before(c));
    SQZ_TRY(open_cache(c));
    SQZ_TRY(
        sqz_course_trainer(c, sqz_course_epochs(c), sqz_loader_steps(c->loader), c->checkpoint));
    SQZ_TRY(take_up(c));
    SQZ_TRY(sqz_trainer_run(c->trainer, &hooks, &c->end));
    if (!c->qat)
        return sqz_trainer_write(c->trainer, c->w->graph);
    sqz_graph *trained;
    SQZ_TRY(sqz_course_quantized(c, c->trainer, &trained));
    sqz_graph_free(c->w->graph);
    c->w->graph = trained;
    return SQZ_OK;
}

static sqz_status stamp(sqz_course *c)
{
    sqz_work *w = c->w;
    SQZ_TRY(sqz_work_stamp(w, w->graph, c->recipe));
    SQZ_TRY(sqz_graph_add_meta(w->graph, "squeeze.data_sha256", w->calib->checksum));
    return *c->teachers ? sqz_graph_add_meta(w->graph, "squeeze.teacher_sha256", c->teachers)
                        : SQZ_OK;
}

sqz_status sqz_course_write(sqz_course *c)
{
    sqz_work *w = c->w;
    uint32_t epochs;
    const bool writes = c->team->rank == 0; /* all of a team have the same */
    (void)sqz_trainer_epochs(c->trainer, &epochs);
    if (c->end == SQZ_TRAIN_DIVERGED && !epochs) {
        if (writes)
            (void)remove(c->checkpoint);
        return sqz_fail(
            w->ctx, SQZ_E_GATE,
            "the training diverged: %s, before an epoch was over: nothing is written; a "
            "smaller --lr, --clip 1, or a schedule with warmup may help",
            sqz_trainer_why(c->trainer));
    }
    SQZ_TRY(stamp(c));
    if (writes) {
        SQZ_TRY(sqz_export_onnx_file(w->graph, NULL, w->job.out));
        (void)remove(c->checkpoint);
    }
    sqz_view_text(w->rep, "written to %s", w->job.out);
    if (c->end != SQZ_TRAIN_DIVERGED)
        return SQZ_OK;
    return sqz_fail(w->ctx, SQZ_E_GATE,
                    "the training diverged: %s: the best epoch before that is written; a smaller "
                    "--lr, --clip 1, or a schedule with warmup may help",
                    sqz_trainer_why(c->trainer));
}

/* ---- --dry-run ---- */

enum { TRIED = 6 }; /* steps, the first of which is not counted */

typedef struct trial {
    sqz_course *c;
    double first, last;
    int64_t n;
} trial;

static sqz_status trial_fill(void *t, const sqz_tape *tape, const sqz_train_step *s)
{
    return sqz_course_fill(((trial *)t)->c, tape, s);
}

static sqz_status trial_after(void *t, const sqz_tape *tape, const sqz_train_step *s)
{
    return sqz_course_after(((trial *)t)->c, tape, s);
}

static void trial_done(void *user, const sqz_train_step *s, double loss)
{
    trial *t = user;
    (void)s, (void)loss;
    t->last = sqz_now();
    t->first = t->n++ ? t->first : t->last;
}

/* Of an evaluation of the model on what is chosen on. */
static sqz_status judging_seconds(sqz_course *c, double *out)
{
    double score;
    *out = 0;
    c->metric = choosing_metric(c);
    if (!c->metric)
        return SQZ_OK;
    const double begin = sqz_now();
    SQZ_TRY(sqz_note(c->w->ctx, sqz_course_score(c, c->w->graph, &score), "the model"));
    *out = sqz_now() - begin;
    return SQZ_OK;
}

sqz_status sqz_course_dry_run(sqz_course *c)
{
    sqz_work *w = c->w;
    sqz_train_end end;
    char size[32], text[32];
    double judging;
    trial t = {.c = c};
    const int64_t steps = sqz_loader_steps(c->loader), all = steps * sqz_course_epochs(c);
    const sqz_train_hooks hooks = {
        .user = &t, .fill = trial_fill, .after = trial_after, .step_done = trial_done};
    SQZ_TRY(sqz_course_trainer(c, 1, SQZ_MIN(steps, (int64_t)TRIED), NULL));
    const size_t bytes = sqz_trainer_bytes(c->trainer);
    const double begin = sqz_now();
    SQZ_TRY(sqz_trainer_run(c->trainer, &hooks, &end));
    const double step = t.n > 1 ? (t.last - t.first) / (double)(t.n - 1) : sqz_now() - begin;
    SQZ_TRY(judging_seconds(c, &judging));
    const double seconds = (double)all * step + (double)sqz_course_epochs(c) * judging;
    sqz_json_bool(w->rep, NULL, "dry_run", true);
    sqz_json_num(w->rep, NULL, "steps", (double)all);
    sqz_json_num(w->rep, NULL, "trained", (double)c->n_number);
    sqz_json_num(w->rep, NULL, "memory_bytes", (double)bytes);
    sqz_json_num(w->rep, NULL, "estimated_seconds", seconds);
    sqz_print_bytes(size, bytes);
    sqz_print_seconds(text, seconds);
    sqz_view_text(w->rep,
                  "would train %llu numbers over %lld epochs of %lld steps of %lld samples, with "
                  "%s of memory, about %s, and write %s",
                  (unsigned long long)c->n_number, (long long)sqz_course_epochs(c),
                  (long long)steps, (long long)c->batch, size, text,
                  w->job.out ? w->job.out : "nothing");
    return SQZ_OK;
}
