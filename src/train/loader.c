/* loader.c: batches made by a thread, one ahead of what is used. Two of them are kept: the caller
 * has one, the thread makes the other. */
#include "train/loader.h"
#include "train/augment.h"
#include "train/mixing.h"
#include "train/source.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#define MEMORY ((size_t)1 << 30)

typedef struct slot {
    bool ready; /* holds (epoch, step), or why it could not be made */
    uint64_t epoch;
    int64_t step;
    float *x, *y;
    int64_t *sample;
    sqz_status status;
    char error[512];
} slot;

struct sqz_loader {
    sqz_ctx *ctx;
    sqz_loader_options o;
    sqz_arena arena; /* options of the chain */
    sqz_augment_chain chain;
    sqz_source *source;
    int64_t steps;
    size_t begin, end;                 /* samples of a batch that this process gets */
    size_t each_x, each_label, each_y; /* numbers of a sample; of labels in the set, and made */
    float *room;                       /* a sample; of the thread, as those below */
    float *plain_x, *plain_y;          /* a batch before it is mixed; NULL: no mixup */
    sqz_mixing mixing;
    slot slot[2];
    int given; /* the slot that the caller reads; -1: none */

    pthread_t thread;
    bool threaded; /* otherwise batches are made when they are asked for */
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    int wanted; /* under the lock: slot to be made or in the making; -1: none */
    bool taken, quit;
};

/* ---- making a batch: no context of the caller's, any thread ---- */

static sqz_status make_labels(const sqz_loader *l, const sqz_drawn *d, float *y, slot *s)
{
    const size_t classes = (size_t)l->o.data->classes;
    for (size_t i = 0; i < l->each_label; i++) {
        if (!l->o.one_hot) {
            y[i] = d->y[i];
        } else if (!sqz_one_hot(d->y[i], classes, l->o.smoothing, y + i * classes)) {
            (void)snprintf(s->error, sizeof s->error,
                           "%.200s: label of sample %" PRId64 " is %g, expected 0 to %zu",
                           l->o.data->path, d->place, (double)d->y[i], classes - 1);
            return SQZ_E_FORMAT;
        }
    }
    return SQZ_OK;
}

static sqz_status reading_failed(const sqz_loader *l, sqz_status st, slot *s)
{
    (void)snprintf(s->error, sizeof s->error, "%s", sqz_source_error(l->source));
    return st;
}

/* Samples [begin, end) of the batch. */
static sqz_status make_samples(sqz_loader *l, slot *s, size_t begin, size_t end, float *x, float *y)
{
    const int64_t first = s->step * l->o.batch;
    for (size_t i = begin; i < end; i++) {
        sqz_drawn d;
        const sqz_status st = sqz_source_draw(l->source, s->epoch, first + (int64_t)i, &d);
        if (st != SQZ_OK)
            return reading_failed(l, st, s);
        sqz_augment_sample(&l->chain, l->o.seed, s->epoch, d.place, d.x, x, l->room);
        SQZ_TRY(make_labels(l, &d, y, s));
        if (i >= l->begin && i < l->end)
            s->sample[i - l->begin] = d.place;
        x += l->each_x;
        y = y ? y + l->each_y : NULL;
    }
    return SQZ_OK;
}

/* What is mixed may have its partner anywhere in the batch, in the part of another process too. */
static sqz_status make(sqz_loader *l, slot *s)
{
    const size_t batch = (size_t)l->o.batch;
    if (!l->plain_x)
        return make_samples(l, s, l->begin, l->end, s->x, s->y);
    SQZ_TRY(make_samples(l, s, 0, batch, l->plain_x, l->plain_y));
    sqz_mixing_draw(l->o.seed, s->epoch, s->step, l->o.mixup, batch, &l->mixing);
    sqz_mixing_apply(&l->mixing, l->begin, l->end, l->each_x, l->plain_x, s->x);
    if (s->y)
        sqz_mixing_apply(&l->mixing, l->begin, l->end, l->each_y, l->plain_y, s->y);
    return SQZ_OK;
}

/* What comes after a batch is read ahead once it is made; a failure of that comes up again, and is
 * told, when the samples are due. */
static void make_slot(sqz_loader *l, slot *s)
{
    s->status = make(l, s);
    if (s->status == SQZ_OK)
        (void)sqz_source_ahead(l->source, s->epoch, (s->step + 1) * l->o.batch);
}

/* ---- the thread ---- */

static void *work(void *arg)
{
    sqz_loader *l = arg;
    (void)pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->quit && (l->wanted < 0 || l->taken))
            (void)pthread_cond_wait(&l->work, &l->lock);
        if (l->quit)
            break;
        slot *s = &l->slot[l->wanted];
        l->taken = true;
        (void)pthread_mutex_unlock(&l->lock);
        make_slot(l, s);
        (void)pthread_mutex_lock(&l->lock);
        s->ready = true;
        l->wanted = -1;
        l->taken = false;
        (void)pthread_cond_signal(&l->done);
    }
    (void)pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Under the lock, with nothing in the making. */
static void ask(sqz_loader *l, int which, uint64_t epoch, int64_t step)
{
    slot *s = &l->slot[which];
    s->ready = false;
    s->epoch = epoch;
    s->step = step;
    l->wanted = which;
    (void)pthread_cond_signal(&l->work);
}

static void wait_until_made(sqz_loader *l)
{
    while (l->wanted >= 0)
        (void)pthread_cond_wait(&l->done, &l->lock);
}

static int slot_of(const sqz_loader *l, uint64_t epoch, int64_t step)
{
    for (int i = 0; i < 2; i++)
        if (l->slot[i].ready && l->slot[i].epoch == epoch && l->slot[i].step == step)
            return i;
    return -1;
}

/* The slot that holds the batch; the one after it is asked for. */
static int take(sqz_loader *l, uint64_t epoch, int64_t step)
{
    const bool last = step + 1 == l->steps;
    const uint64_t next_epoch = last ? epoch + 1 : epoch;
    const int64_t next_step = last ? 0 : step + 1;
    (void)pthread_mutex_lock(&l->lock);
    wait_until_made(l);
    int i = slot_of(l, epoch, step);
    if (i < 0) {
        i = l->given == 0;
        ask(l, i, epoch, step);
        wait_until_made(l);
    }
    if (l->slot[i].status == SQZ_OK && slot_of(l, next_epoch, next_step) < 0)
        ask(l, !i, next_epoch, next_step);
    (void)pthread_mutex_unlock(&l->lock);
    return i;
}

static int take_inline(sqz_loader *l, uint64_t epoch, int64_t step)
{
    int i = slot_of(l, epoch, step);
    if (i < 0) {
        i = l->given == 0;
        l->slot[i].epoch = epoch;
        l->slot[i].step = step;
        make_slot(l, &l->slot[i]);
        l->slot[i].ready = true;
    }
    return i;
}

sqz_status sqz_loader_batch(sqz_loader *l, uint64_t epoch, int64_t step, sqz_batch *out)
{
    *out = (sqz_batch){0};
    if (step < 0 || step >= l->steps)
        return sqz_fail(l->ctx, SQZ_E_ARG, "%s: batch %" PRId64 " asked for, an epoch has %" PRId64,
                        l->o.data->path, step, l->steps);
    const int i = l->threaded ? take(l, epoch, step) : take_inline(l, epoch, step);
    slot *s = &l->slot[i];
    if (s->status != SQZ_OK) {
        s->ready = false; /* asked for again it is tried again */
        return sqz_fail(l->ctx, s->status, "%s", s->error);
    }
    l->given = i;
    *out = (sqz_batch){.x = s->x, .y = s->y, .sample = s->sample};
    return SQZ_OK;
}

/* ---- creating ---- */

static sqz_status check(const sqz_loader_options *o)
{
    const sqz_dataset *ds = o->data;
    sqz_ctx *ctx = ds->ctx;
    if (o->batch < 1 || o->batch > ds->n)
        return sqz_fail(ctx, SQZ_E_ARG,
                        "batches of %" PRId64 " samples: %s has %" PRId64 ", expected 1 to that",
                        o->batch, ds->path, ds->n);
    if (o->parts && (o->part >= o->parts || o->batch % o->parts))
        return sqz_fail(ctx, SQZ_E_ARG,
                        "part %u of %u of batches of %" PRId64 ": batches must split evenly",
                        o->part, o->parts, o->batch);
    if (!(o->smoothing >= 0 && o->smoothing < 1))
        return sqz_fail(ctx, SQZ_E_ARG, "label smoothing %g: expected 0 <= s < 1", o->smoothing);
    if (!(o->mixup >= 0 && o->mixup <= 1000))
        return sqz_fail(ctx, SQZ_E_ARG, "mixup alpha %g: expected 0 to 1000", o->mixup);
    if (o->one_hot && (!ds->has_labels || ds->classes < 1))
        return sqz_fail(ctx, SQZ_E_ARG, "%s: labels as classes asked for, but it has %s", ds->path,
                        ds->has_labels ? "numbers as labels" : "no labels");
    if (o->smoothing > 0 && !o->one_hot)
        return sqz_fail(ctx, SQZ_E_ARG, "%s: label smoothing is for labels that are classes",
                        ds->path);
    if (o->mixup > 0 && ds->has_labels && ds->classes > 0 && !o->one_hot)
        return sqz_fail(ctx, SQZ_E_ARG, "%s: class numbers cannot be mixed; ask for one-hot rows",
                        ds->path);
    return SQZ_OK;
}

static sqz_status batch_memory(const sqz_loader *l, size_t n, float **x, float **y)
{
    size_t nx, ny;
    if (!sqz_mul(n, l->each_x, &nx) || !sqz_mul(n, l->each_y, &ny))
        return sqz_fail(l->ctx, SQZ_E_LIMIT, "%s: a batch of %" PRId64 " is too large",
                        l->o.data->path, l->o.batch);
    *x = sqz_calloc(l->ctx, nx, sizeof **x);
    *y = ny ? sqz_calloc(l->ctx, ny, sizeof **y) : NULL;
    return *x && (*y || !ny) ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status prepare(sqz_loader *l, const sqz_loader_options *o)
{
    SQZ_TRY(sqz_augment_read(&l->arena, o->data, o->layout, o->augment, &l->chain));
    const sqz_source_options so = {.data = o->data,
                                   .seed = o->seed,
                                   .in_order = o->in_order,
                                   .memory = o->memory ? o->memory : MEMORY,
                                   .batch = o->batch};
    SQZ_TRY(sqz_source_create(&so, &l->source));
    l->each_x = sqz_source_x(l->source);
    l->each_label = l->each_y = sqz_source_y(l->source);
    if (o->one_hot && !sqz_mul(l->each_label, (size_t)o->data->classes, &l->each_y))
        return sqz_fail(l->ctx, SQZ_E_LIMIT, "%s: too many classes", o->data->path);
    for (int i = 0; i < 2; i++) {
        SQZ_TRY(batch_memory(l, l->end - l->begin, &l->slot[i].x, &l->slot[i].y));
        l->slot[i].sample = sqz_calloc(l->ctx, l->end - l->begin, sizeof(int64_t));
        if (!l->slot[i].sample)
            return SQZ_E_NOMEM;
    }
    l->room = sqz_calloc(l->ctx, l->each_x, sizeof *l->room);
    if (!l->room)
        return SQZ_E_NOMEM;
    if (o->mixup > 0) {
        SQZ_TRY(batch_memory(l, (size_t)o->batch, &l->plain_x, &l->plain_y));
        l->mixing.partner = sqz_calloc(l->ctx, (size_t)o->batch, sizeof *l->mixing.partner);
        if (!l->mixing.partner)
            return SQZ_E_NOMEM;
    }
    l->threaded = pthread_create(&l->thread, NULL, work, l) == 0; /* slower without, not wrong */
    return SQZ_OK;
}

sqz_status sqz_loader_create(sqz_ctx *ctx, const sqz_loader_options *o, sqz_loader **out)
{
    *out = NULL;
    SQZ_TRY(check(o));
    sqz_loader *l = sqz_calloc(ctx, 1, sizeof *l);
    if (!l)
        return SQZ_E_NOMEM;
    l->ctx = l->arena.ctx = ctx;
    l->o = *o;
    l->o.layout = l->o.augment = NULL; /* the caller's; read in prepare */
    l->steps = o->data->n / o->batch;
    l->begin = (size_t)o->batch / SQZ_MAX(o->parts, 1u) * o->part;
    l->end = l->begin + (size_t)o->batch / SQZ_MAX(o->parts, 1u);
    l->given = l->wanted = -1;
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->work, NULL);
    (void)pthread_cond_init(&l->done, NULL);
    const sqz_status s = prepare(l, o);
    if (s == SQZ_OK)
        *out = l;
    else
        sqz_loader_free(l);
    return s;
}

static void stop(sqz_loader *l)
{
    (void)pthread_mutex_lock(&l->lock);
    l->quit = true;
    (void)pthread_cond_signal(&l->work);
    (void)pthread_mutex_unlock(&l->lock);
    (void)pthread_join(l->thread, NULL);
}

void sqz_loader_free(sqz_loader *l)
{
    if (!l)
        return;
    if (l->threaded)
        stop(l);
    (void)pthread_cond_destroy(&l->work);
    (void)pthread_cond_destroy(&l->done);
    (void)pthread_mutex_destroy(&l->lock);
    for (int i = 0; i < 2; i++) {
        sqz_free(l->ctx, l->slot[i].x);
        sqz_free(l->ctx, l->slot[i].y);
        sqz_free(l->ctx, l->slot[i].sample);
    }
    sqz_free(l->ctx, l->room);
    sqz_free(l->ctx, l->plain_x);
    sqz_free(l->ctx, l->plain_y);
    sqz_free(l->ctx, l->mixing.partner);
    sqz_source_free(l->source);
    sqz_arena_free(&l->arena);
    sqz_free(l->ctx, l);
}

int64_t sqz_loader_steps(const sqz_loader *l) { return l->steps; }
size_t sqz_loader_label(const sqz_loader *l) { return l->each_y; }
bool sqz_loader_repeats(const sqz_loader *l) { return l->chain.n == 0 && l->o.mixup == 0; }
