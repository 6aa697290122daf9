/* trainer.c: see trainer.h. */
#include "train/allreduce.h"
#include "train/trainer_state.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- making ---- */

static sqz_status read_options(sqz_trainer *t)
{
    SQZ_TRY(sqz_optim_spec(&t->arena, t->o.optimizer ? t->o.optimizer : "sgd", &t->optim,
                           &t->optim_opts));
    SQZ_TRY(sqz_schedule_spec(&t->arena, t->o.schedule ? t->o.schedule : "cosine", &t->schedule,
                              &t->schedule_opts));
    if (t->o.rate == 0)
        t->o.rate = t->optim->rate;
    if (t->o.every == 0)
        t->o.every = 30;
    if (!(t->o.rate > 0) || !(t->o.decay >= 0) || !(t->o.clip >= 0) || !(t->o.ema >= 0) ||
        !(t->o.ema < 1))
        return sqz_fail(t->ctx, SQZ_E_ARG,
                        "learning rate %g, decay %g, clip %g, average %g: the first must be above "
                        "0, none below, the last below 1",
                        t->o.rate, t->o.decay, t->o.clip, t->o.ema);
    if (t->o.epochs < 1 || t->o.steps < 1 || t->o.n_report < 1)
        return sqz_fail(t->ctx, SQZ_E_ARG, "%lld epochs of %lld steps: at least one of each",
                        (long long)t->o.epochs, (long long)t->o.steps);
    return SQZ_OK;
}

static sqz_status make_tape(sqz_trainer *t)
{
    const uint32_t n_read = t->g->n_read + t->o.n_read;
    sqz_vid *want = sqz_arena_alloc(&t->arena, t->o.n_trained + 1u, sizeof *want);
    sqz_vid *read = sqz_arena_alloc(&t->arena, n_read + 1u, sizeof *read);
    if (!want || !read)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < t->o.n_trained; i++)
        want[i] = t->o.trained[i].value;
    if (t->g->n_read)
        memcpy(read, t->g->read, t->g->n_read * sizeof *read);
    if (t->o.n_read)
        memcpy(read + t->g->n_read, t->o.read, t->o.n_read * sizeof *read);
    const sqz_tape_options o = {.want = want,
                                .n_want = t->o.n_trained,
                                .seed = &t->g->g->output[0],
                                .n_seed = 1,
                                .read = read,
                                .n_read = n_read,
                                .memory_limit = t->o.memory,
                                .team = t->o.team};
    SQZ_TRY(sqz_tape_create(t->g->g, &o, &t->tape));
    t->bytes = sqz_tape_bytes(t->tape);
    return SQZ_OK;
}

static sqz_status make(sqz_trainer *t, const sqz_trainer_options *o)
{
    t->o = *o;
    SQZ_TRY(read_options(t));
    SQZ_TRY(make_tape(t));
    return sqz_train_state_make(t);
}

sqz_status sqz_trainer_create(sqz_training *g, const sqz_trainer_options *o, sqz_trainer **out)
{
    sqz_ctx *ctx = g->g->ctx;
    sqz_trainer *t = sqz_calloc(ctx, 1, sizeof *t);
    *out = NULL;
    if (!t)
        return SQZ_E_NOMEM;
    t->ctx = t->arena.ctx = ctx;
    t->g = g;
    const sqz_status s = make(t, o);
    if (s != SQZ_OK)
        sqz_trainer_free(t);
    else
        *out = t;
    return s;
}

void sqz_trainer_free(sqz_trainer *t)
{
    if (!t)
        return;
    sqz_tape_free(t->tape);
    sqz_arena_free(&t->arena);
    sqz_free(t->ctx, t);
}

/* ---- a step ---- */

static double square_sum(const float *g, size_t n)
{
    enum { LANES = 8 };
    double lane[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lane[k] += (double)g[i + k] * (double)g[i + k];
    for (; i < n; i++)
        sum += (double)g[i] * (double)g[i];
    for (size_t k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

/* Factor of all gradients that brings their norm to `clip` (Pascanu et al. 2013). */
static double clipping(const sqz_trainer *t)
{
    double sum = 0;
    if (t->o.clip <= 0)
        return 1;
    for (uint32_t i = 0; i < t->o.n_trained; i++)
        sum += square_sum(t->grad[i], t->n[i]);
    const double norm = sqrt(sum);
    return norm > t->o.clip ? t->o.clip / norm : 1;
}

static void average(float *to, const float *w, size_t n, double keep)
{
    const float k = (float)keep, r = (float)(1 - keep);
    for (size_t i = 0; i < n; i++)
        to[i] = k * to[i] + r * w[i];
}

static double rate_of(const sqz_trainer *t, const sqz_train_step *s)
{
    return t->schedule->rate(t->schedule_opts, t->o.rate, s->epochs, (double)t->o.epochs);
}

static sqz_status update(sqz_trainer *t, const sqz_train_step *s)
{
    const double scale = clipping(t), rate = rate_of(t, s);
    /* an average that has seen few steps leans on them: Adam's bias correction in short */
    const double keep = SQZ_MIN(t->o.ema, (1.0 + (double)s->step) / (10.0 + (double)s->step));
    for (uint32_t i = 0; i < t->o.n_trained; i++) {
        const sqz_trained *v = &t->o.trained[i];
        const sqz_optim_step step = {.w = t->w[i],
                                     .g = t->grad[i],
                                     .state = t->state[i],
                                     .n = t->n[i],
                                     .t = s->step + 1,
                                     .rate = rate * v->rate,
                                     .decay = v->decays ? t->o.decay : 0,
                                     .scale = scale,
                                     .floor = (float)v->floor};
        SQZ_TRY(t->optim->update(t->ctx, t->optim_opts, &step));
        if (t->ema)
            average(t->ema[i], t->w[i], t->n[i], keep);
    }
    return SQZ_OK;
}

/* Whether the loss has left its course: no number, or over a window far above where it began and
 * where it had been. */
static bool diverges(sqz_trainer *t, double loss)
{
    sqz_train_progress *p = &t->now;
    if (!isfinite(loss)) {
        (void)snprintf(p->why, sizeof p->why, "at step %llu the loss is no finite number",
                       (unsigned long long)p->step);
        return true;
    }
    p->window += loss;
    if ((p->step + 1) % SQZ_TRAIN_WINDOW)
        return false;
    const double mean = p->window / SQZ_TRAIN_WINDOW;
    p->window = 0;
    if (p->first == 0)
        p->first = p->least = mean;
    const bool far = mean > 4 * fabs(p->first) && mean > 10 * fabs(p->least);
    if (far)
        (void)snprintf(p->why, sizeof p->why,
                       "at step %llu the loss was %.3g over %d steps; it began with %.3g and had "
                       "been %.3g",
                       (unsigned long long)p->step, mean, SQZ_TRAIN_WINDOW, p->first, p->least);
    p->least = SQZ_MIN(p->least, mean);
    return far;
}

/* Output i of the graph, of the whole batch. */
static sqz_status reported(const sqz_trainer *t, uint32_t i, double *v)
{
    *v = (double)sqz_tape_data(t->tape, t->g->g->output[i])[0];
    if (!t->o.team)
        return SQZ_OK;
    SQZ_TRY(t->o.team->sum(t->o.team->user, v, 1));
    *v /= t->o.team->size;
    return SQZ_OK;
}

static sqz_status gradients(sqz_trainer *t)
{
    sqz_tape_grad(t->tape, t->g->g->output[0])[0] = 1;
    SQZ_TRY(sqz_tape_backward(t->tape));
    for (uint32_t i = 0; t->o.team && i < t->o.n_trained; i++)
        SQZ_TRY(sqz_team_gradients(t->o.team, t->tape, &t->o.trained[i].value, 1));
    return SQZ_OK;
}

static sqz_status step(sqz_trainer *t, const sqz_train_hooks *h, const sqz_train_step *s,
                       bool *diverged)
{
    SQZ_TRY(h->fill(h->user, t->tape, s));
    sqz_tape_set_step(t->tape, s->step);
    SQZ_TRY(sqz_tape_forward(t->tape));
    if (h->after)
        SQZ_TRY(h->after(h->user, t->tape, s));
    double loss, v;
    SQZ_TRY(reported(t, 0, &loss));
    *diverged = diverges(t, loss);
    if (*diverged)
        return SQZ_OK;
    for (uint32_t i = 0; i < t->o.n_report; i++) {
        SQZ_TRY(reported(t, i, &v));
        t->sum[i] += v;
    }
    SQZ_TRY(gradients(t));
    SQZ_TRY(update(t, s));
    sqz_training_moved(t->g, t->tape);
    t->now.step++;
    if (h->step_done)
        h->step_done(h->user, s, loss);
    return SQZ_OK;
}

/* ---- an epoch ---- */

static sqz_train_step step_of(const sqz_trainer *t)
{
    const uint64_t steps = (uint64_t)t->o.steps, n = t->now.step;
    return (sqz_train_step){.step = n,
                            .epoch = n / steps,
                            .in_epoch = (int64_t)(n % steps),
                            .epochs = (double)n / (double)steps};
}

static void finish(sqz_trainer *t, sqz_train_end end)
{
    t->now.ended = 1;
    t->now.end = end;
}

static sqz_status end_epoch(sqz_trainer *t, const sqz_train_hooks *h, const sqz_train_step *last)
{
    const uint64_t row = t->now.epochs;
    sqz_epoch *e = &t->epoch[row];
    double *report = t->reports + row * t->o.n_report, score = NAN;
    for (uint32_t i = 0; i < t->o.n_report; i++) {
        report[i] = t->sum[i] / (double)t->o.steps;
        t->sum[i] = 0;
    }
    if (h->evaluate)
        SQZ_TRY(h->evaluate(h->user, t, &score));
    const bool best = !h->evaluate || score > t->now.best;
    *e = (sqz_epoch){.rate = rate_of(t, last),
                     .report = report,
                     .score = score,
                     .seconds = t->now.seconds,
                     .best = best};
    t->now.seconds = 0;
    t->now.epochs++;
    t->now.since_best = best ? 0 : t->now.since_best + 1;
    if (best) {
        t->now.best = h->evaluate ? score : t->now.best;
        sqz_train_keep_best(t);
    }
    if (h->epoch_done)
        h->epoch_done(h->user, last, e);
    if (t->now.epochs == (uint64_t)t->o.epochs)
        finish(t, SQZ_TRAIN_DONE);
    else if (t->o.patience && t->now.since_best >= t->o.patience)
        finish(t, SQZ_TRAIN_EARLY);
    return SQZ_OK;
}

/* ---- all of it ---- */

static sqz_status save(sqz_trainer *t, double *last)
{
    *last = sqz_now();
    const bool writes = !t->o.team || t->o.team->rank == 0; /* all of a team are the same */
    return t->o.checkpoint && writes ? sqz_train_checkpoint_write(t) : SQZ_OK;
}

/* How far it is, with the mean loss of the epoch so far; false: the caller wants to stop. */
static bool tell(const sqz_trainer *t, const sqz_train_step *s)
{
    char what[64];
    const int64_t n = s->in_epoch + 1;
    const double loss = n < t->o.steps ? t->sum[0] / (double)n : t->epoch[s->epoch].report[0];
    (void)snprintf(what, sizeof what, "training: loss %.4g, epoch %llu of %lld", loss,
                   (unsigned long long)s->epoch + 1, (long long)t->o.epochs);
    return sqz_progress(t->ctx, what, t->now.step, (uint64_t)t->o.epochs * (uint64_t)t->o.steps);
}

/* One step, and what is due after it. */
static sqz_status advance(sqz_trainer *t, const sqz_train_hooks *h, double *saved)
{
    const double begin = sqz_now();
    const sqz_train_step s = step_of(t);
    bool diverged = false;
    SQZ_TRY(step(t, h, &s, &diverged));
    t->now.seconds += sqz_now() - begin;
    const bool whole = !diverged && s.in_epoch + 1 == t->o.steps;
    if (diverged)
        finish(t, SQZ_TRAIN_DIVERGED);
    if (whole)
        SQZ_TRY(end_epoch(t, h, &s));
    if (whole || diverged || sqz_now() - *saved > t->o.every)
        SQZ_TRY(save(t, saved));
    if (!t->now.ended && !tell(t, &s)) {
        SQZ_TRY(save(t, saved));
        return sqz_fail(t->ctx, SQZ_E_ARG, "stopped");
    }
    return SQZ_OK;
}

sqz_status sqz_trainer_run(sqz_trainer *t, const sqz_train_hooks *h, sqz_train_end *end)
{
    double saved = sqz_now();
    while (!t->now.ended)
        SQZ_TRY(advance(t, h, &saved));
    sqz_train_take_best(t);
    *end = (sqz_train_end)t->now.end;
    return SQZ_OK;
}

/* ---- what came of it ---- */

sqz_status sqz_trainer_write(const sqz_trainer *t, sqz_graph *model)
{
    sqz_arena a = {.ctx = t->ctx};
    sqz_vid *v = sqz_arena_alloc(&a, t->o.n_trained + 1u, sizeof *v);
    const float **numbers = sqz_arena_alloc(&a, t->o.n_trained + 1u, sizeof *numbers);
    uint32_t n = 0;
    sqz_status s = v && numbers ? SQZ_OK : SQZ_E_NOMEM;
    for (uint32_t i = 0; i < t->o.n_trained && s == SQZ_OK; i++) {
        if (t->o.trained[i].value >= model->n_value)
            continue; /* a loss's own */
        v[n] = t->o.trained[i].value;
        numbers[n++] = sqz_train_counts(t, i);
    }
    if (s == SQZ_OK)
        s = sqz_training_write(t->g, v, numbers, n, model);
    sqz_arena_free(&a);
    return s;
}

const float *sqz_trainer_numbers(const sqz_trainer *t, uint32_t i)
{
    return sqz_train_counts(t, i);
}
const sqz_tape *sqz_trainer_tape(const sqz_trainer *t) { return t->tape; }
const sqz_epoch *sqz_trainer_epochs(const sqz_trainer *t, uint32_t *n)
{
    *n = (uint32_t)t->now.epochs;
    return t->epoch;
}
const char *sqz_trainer_why(const sqz_trainer *t) { return t->now.why; }
size_t sqz_trainer_bytes(const sqz_trainer *t) { return t->bytes; }
