/* trainer_state.c: memory of a training: the optimizer's, averages, the best state, the curve. */
#include "train/trainer_state.h"
#include <math.h>
#include <string.h>

static void *room(sqz_trainer *t, size_t count, size_t elem)
{
    t->bytes += count * elem;
    return sqz_arena_alloc(&t->arena, SQZ_MAX(count, (size_t)1), elem);
}

static sqz_status keep(sqz_trainer *t, void *data, size_t bytes)
{
    if (!data)
        return SQZ_E_NOMEM;
    t->span[t->n_span++] = (sqz_train_span){data, bytes};
    return SQZ_OK;
}

/* A list of arrays, one for each trained value, `times` as long. */
static sqz_status arrays(sqz_trainer *t, float ***list, size_t times)
{
    *list = room(t, t->o.n_trained, sizeof **list);
    if (!*list)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < t->o.n_trained; i++) {
        size_t n;
        if (!sqz_mul(t->n[i], times, &n))
            return sqz_fail(t->ctx, SQZ_E_LIMIT, "the optimizer's memory is too large");
        (*list)[i] = room(t, n, sizeof ***list);
        SQZ_TRY(keep(t, (*list)[i], n * sizeof ***list));
    }
    return SQZ_OK;
}

static sqz_status norms(sqz_trainer *t)
{
    t->best_mean = room(t, t->g->n_norm, sizeof *t->best_mean);
    t->best_var = room(t, t->g->n_norm, sizeof *t->best_var);
    if (!t->best_mean || !t->best_var)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < t->g->n_norm; i++) {
        const sqz_training_norm *m = &t->g->norm[i];
        const size_t bytes = m->n * sizeof(float);
        t->best_mean[i] = room(t, m->n, sizeof(float));
        t->best_var[i] = room(t, m->n, sizeof(float));
        SQZ_TRY(keep(t, m->running_mean, bytes));
        SQZ_TRY(keep(t, m->running_variance, bytes));
        SQZ_TRY(keep(t, t->best_mean[i], bytes));
        SQZ_TRY(keep(t, t->best_var[i], bytes));
    }
    return SQZ_OK;
}

static sqz_status curve(sqz_trainer *t)
{
    const size_t epochs = (size_t)t->o.epochs;
    size_t n;
    if (!sqz_mul(epochs, t->o.n_report, &n))
        return sqz_fail(t->ctx, SQZ_E_LIMIT, "too many epochs");
    t->sum = room(t, t->o.n_report, sizeof *t->sum);
    t->epoch = room(t, epochs, sizeof *t->epoch);
    t->reports = room(t, n, sizeof *t->reports);
    SQZ_TRY(keep(t, t->sum, t->o.n_report * sizeof *t->sum));
    SQZ_TRY(keep(t, t->epoch, epochs * sizeof *t->epoch));
    return keep(t, t->reports, n * sizeof *t->reports);
}

static sqz_status values(sqz_trainer *t)
{
    t->n = room(t, t->o.n_trained, sizeof *t->n);
    t->w = room(t, t->o.n_trained, sizeof(float *));
    t->grad = room(t, t->o.n_trained, sizeof(float *));
    if (!t->n || !t->w || !t->grad)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < t->o.n_trained; i++) {
        const sqz_vid v = t->o.trained[i].value;
        t->n[i] = sqz_tape_count(t->tape, v);
        t->w[i] = sqz_tape_data(t->tape, v);
        t->grad[i] = sqz_tape_grad(t->tape, v);
        SQZ_TRY(keep(t, t->w[i], t->n[i] * sizeof(float)));
    }
    return SQZ_OK;
}

sqz_status sqz_train_state_make(sqz_trainer *t)
{
    const size_t most = 8 + 5 * (size_t)t->o.n_trained + 4 * (size_t)t->g->n_norm + t->o.n_saved;
    t->span = room(t, most, sizeof *t->span);
    if (!t->span)
        return SQZ_E_NOMEM;
    t->now.best = -INFINITY;
    SQZ_TRY(keep(t, &t->now, sizeof t->now));
    SQZ_TRY(values(t));
    SQZ_TRY(arrays(t, &t->state, t->optim->n_state));
    SQZ_TRY(arrays(t, &t->best, 1));
    if (t->o.ema > 0)
        SQZ_TRY(arrays(t, &t->ema, 1));
    SQZ_TRY(norms(t));
    SQZ_TRY(curve(t));
    for (uint32_t i = 0; i < t->o.n_saved; i++)
        SQZ_TRY(keep(t, t->o.saved[i].numbers, t->o.saved[i].n * sizeof(float)));
    for (uint32_t i = 0; t->ema && i < t->o.n_trained; i++)
        memcpy(t->ema[i], t->w[i], t->n[i] * sizeof(float));
    sqz_train_keep_best(t); /* where it begins: what is left if nothing comes of it */
    return SQZ_OK;
}

const float *sqz_train_counts(const sqz_trainer *t, uint32_t i)
{
    return t->ema ? t->ema[i] : t->w[i];
}

void sqz_train_keep_best(sqz_trainer *t)
{
    for (uint32_t i = 0; i < t->o.n_trained; i++)
        memcpy(t->best[i], sqz_train_counts(t, i), t->n[i] * sizeof(float));
    for (uint32_t i = 0; i < t->g->n_norm; i++) {
        const sqz_training_norm *m = &t->g->norm[i];
        memcpy(t->best_mean[i], m->running_mean, m->n * sizeof(float));
        memcpy(t->best_var[i], m->running_variance, m->n * sizeof(float));
    }
}

void sqz_train_take_best(sqz_trainer *t)
{
    for (uint32_t i = 0; i < t->o.n_trained; i++) {
        memcpy(t->w[i], t->best[i], t->n[i] * sizeof(float));
        if (t->ema)
            memcpy(t->ema[i], t->best[i], t->n[i] * sizeof(float));
    }
    for (uint32_t i = 0; i < t->g->n_norm; i++) {
        const sqz_training_norm *m = &t->g->norm[i];
        memcpy(m->running_mean, t->best_mean[i], m->n * sizeof(float));
        memcpy(m->running_variance, t->best_var[i], m->n * sizeof(float));
    }
}
