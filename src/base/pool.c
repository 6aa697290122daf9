/* pool.c: threads. Fixed chunks, dynamic pick-up, the caller takes part. Workers that have just
 * worked spin for some microseconds before they sleep: an inference is a row of short parallel
 * regions, and waking a thread costs more than most of them. */
#include "base/base.h"
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define SPINS 8000 /* looks before sleeping; some 100 microseconds */

/* `ticket` is the number of the job (high half) and the next chunk of it (low half). A chunk is
 * taken by a compare-and-swap of both, so a worker that comes late cannot take one of another job.
 * While a job is being set up its low half is CLOSED. */
#define CLOSED 0xffffffffu

typedef struct sqz_pool {
    pthread_t *thread;
    int started;
    _Atomic uint64_t ticket;
    _Atomic uint32_t chunks, left; /* of the job; not yet finished */
    _Atomic(sqz_task_fn) fn;
    _Atomic(void *) arg;
    _Atomic size_t n, grain;
    _Atomic int sleeping; /* workers in, or about to enter, the wait for `wake` */
    _Atomic bool waiting; /* the caller, for `done` */
    _Atomic bool quit;
    pthread_mutex_t lock; /* for sleeping and for failures only */
    pthread_cond_t wake, done;
    size_t fail_at;
    sqz_status status;
    _Atomic int next_index;
} sqz_pool;

static _Thread_local int worker_index;
static _Thread_local bool inside; /* a chunk is running on this thread: nested calls run inline */

int sqz_worker_index(void) { return worker_index; }
int sqz_pool_threads(const struct sqz_pool *p) { return p ? p->started + 1 : 1; }

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void fail(sqz_pool *p, size_t begin, sqz_status s)
{
    pthread_mutex_lock(&p->lock);
    if (begin < p->fail_at) {
        p->fail_at = begin;
        p->status = s;
    }
    pthread_mutex_unlock(&p->lock);
}

static void finish_chunk(sqz_pool *p)
{
    if (atomic_fetch_sub(&p->left, 1) == 1 && atomic_load(&p->waiting)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_signal(&p->done);
        pthread_mutex_unlock(&p->lock);
    }
}

/* Takes chunks of job `job` until none is left. */
static void drain(sqz_pool *p, uint32_t job)
{
    sqz_task_fn fn = atomic_load(&p->fn);
    void *arg = atomic_load(&p->arg);
    size_t n = atomic_load(&p->n), grain = atomic_load(&p->grain);
    uint32_t chunks = atomic_load(&p->chunks);
    uint64_t t = atomic_load(&p->ticket);
    while (t >> 32 == job && (uint32_t)t < chunks) {
        if (!atomic_compare_exchange_weak(&p->ticket, &t, t + 1))
            continue;
        size_t begin = (uint32_t)t * grain, end = n - begin < grain ? n : begin + grain;
        inside = true;
        sqz_status s = fn(arg, begin, end);
        inside = false;
        if (s != SQZ_OK)
            fail(p, begin, s);
        finish_chunk(p);
        t = atomic_load(&p->ticket);
    }
}

/* Returns when there is a job after `job`, or at the end. */
static void wait_for_job(sqz_pool *p, uint32_t job)
{
    for (int i = 0; i < SPINS; i++) {
        uint64_t t = atomic_load(&p->ticket);
        if ((t >> 32 != job && (uint32_t)t != CLOSED) || atomic_load(&p->quit))
            return;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleeping,
                     1); /* before the look: the caller looks after it has published */
    for (;;) {
        uint64_t t = atomic_load(&p->ticket);
        if ((t >> 32 != job && (uint32_t)t != CLOSED) || atomic_load(&p->quit))
            break;
        pthread_cond_wait(&p->wake, &p->lock);
    }
    atomic_fetch_sub(&p->sleeping, 1);
    pthread_mutex_unlock(&p->lock);
}

static void *worker(void *arg)
{
    sqz_pool *p = arg;
    uint32_t job = 0;
    worker_index = atomic_fetch_add(&p->next_index, 1) + 1;
    for (;;) {
        wait_for_job(p, job);
        if (atomic_load(&p->quit))
            return NULL;
        job = (uint32_t)(atomic_load(&p->ticket) >> 32);
        drain(p, job);
    }
}

sqz_status sqz_pool_create(sqz_ctx *ctx, int threads, struct sqz_pool **out)
{
    *out = NULL;
    if (threads <= 0)
        threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    sqz_pool *p = sqz_calloc(ctx, 1, sizeof *p);
    if (!p)
        return SQZ_E_NOMEM;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    if (threads > 1) {
        p->thread = sqz_calloc(ctx, (size_t)threads - 1, sizeof *p->thread);
        for (; p->thread && p->started < threads - 1; p->started++)
            if (pthread_create(&p->thread[p->started], NULL, worker, p))
                break; /* fewer workers is slower, not wrong */
    }
    *out = p;
    return SQZ_OK;
}

static void wake_all(sqz_pool *p)
{
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

void sqz_pool_free(sqz_ctx *ctx, struct sqz_pool *p)
{
    if (!p)
        return;
    atomic_store(&p->quit, true);
    wake_all(p);
    for (int i = 0; i < p->started; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->lock);
    sqz_free(ctx, p->thread);
    sqz_free(ctx, p);
}

/* The caller has taken its last chunk; others may still be at theirs. */
static void wait_for_others(sqz_pool *p)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&p->left) == 0)
            return;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->waiting, true); /* before the look, as above */
    while (atomic_load(&p->left))
        pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->waiting, false);
    pthread_mutex_unlock(&p->lock);
}

static sqz_status run_inline(size_t n, size_t grain, sqz_task_fn fn, void *arg)
{
    for (size_t b = 0; b < n; b += grain) /* the same chunks */
        SQZ_TRY(fn(arg, b, n - b < grain ? n : b + grain));
    return SQZ_OK;
}

sqz_status sqz_parallel(sqz_ctx *ctx, size_t n, size_t grain, sqz_task_fn fn, void *arg)
{
    sqz_pool *p = ctx->pool;
    if (grain == 0)
        grain = 1;
    const size_t chunks = n / grain + (n % grain != 0);
    if (!p || p->started == 0 || chunks <= 1 || chunks >= CLOSED || inside)
        return run_inline(n, grain, fn, arg);
    const uint32_t job = (uint32_t)(atomic_load(&p->ticket) >> 32) + 1;
    atomic_store(&p->ticket, (uint64_t)(job - 1) << 32 | CLOSED);
    atomic_store(&p->fn, fn);
    atomic_store(&p->arg, arg);
    atomic_store(&p->n, n);
    atomic_store(&p->grain, grain);
    atomic_store(&p->chunks, (uint32_t)chunks);
    atomic_store(&p->left, (uint32_t)chunks);
    p->status = SQZ_OK;
    p->fail_at = SIZE_MAX;
    atomic_store(&p->ticket, (uint64_t)job << 32);
    if (atomic_load(&p->sleeping))
        wake_all(p);
    drain(p, job);
    wait_for_others(p);
    return p->status;
}
