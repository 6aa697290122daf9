/* pool.c: threads. Fixed chunks, dynamic pick-up, the caller takes part. */
#include "base/base.h"
#include <pthread.h>
#include <unistd.h>

typedef struct sqz_pool {
    pthread_t *thread;
    int started;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    sqz_task_fn fn;
    void *arg;
    size_t n, grain, next, running;
    size_t fail_at;
    sqz_status status;
    bool quit;
    int next_index;
} sqz_pool;

static _Thread_local int worker_index;
static _Thread_local bool inside; /* a chunk is running on this thread: nested calls run inline */

int sqz_worker_index(void) { return worker_index; }
int sqz_pool_threads(const struct sqz_pool *p) { return p ? p->started + 1 : 1; }

static void drain(sqz_pool *p) /* lock held on entry and exit */
{
    while (p->next < p->n) {
        size_t begin = p->next;
        size_t end = p->n - begin < p->grain ? p->n : begin + p->grain;
        p->next = end;
        p->running++;
        pthread_mutex_unlock(&p->lock);
        inside = true;
        sqz_status s = p->fn(p->arg, begin, end);
        inside = false;
        pthread_mutex_lock(&p->lock);
        p->running--;
        if (s != SQZ_OK && begin < p->fail_at) {
            p->fail_at = begin;
            p->status = s;
        }
    }
    if (p->running == 0)
        pthread_cond_broadcast(&p->done);
}

static void *worker(void *arg)
{
    sqz_pool *p = arg;
    pthread_mutex_lock(&p->lock);
    worker_index = ++p->next_index;
    for (;;) {
        while (!p->quit && p->next >= p->n)
            pthread_cond_wait(&p->wake, &p->lock);
        if (p->quit)
            break;
        drain(p);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
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

void sqz_pool_free(sqz_ctx *ctx, struct sqz_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->quit = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->started; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->lock);
    sqz_free(ctx, p->thread);
    sqz_free(ctx, p);
}

sqz_status sqz_parallel(sqz_ctx *ctx, size_t n, size_t grain, sqz_task_fn fn, void *arg)
{
    sqz_pool *p = ctx->pool;
    if (grain == 0)
        grain = 1;
    if (!p || p->started == 0 || n <= grain || inside) {
        for (size_t b = 0; b < n; b += grain) /* same chunks as the threaded path */
            SQZ_TRY(fn(arg, b, n - b < grain ? n : b + grain));
        return SQZ_OK;
    }
    pthread_mutex_lock(&p->lock);
    p->fn = fn;
    p->arg = arg;
    p->n = n;
    p->grain = grain;
    p->next = 0;
    p->status = SQZ_OK;
    p->fail_at = SIZE_MAX;
    pthread_cond_broadcast(&p->wake);
    drain(p);
    while (p->running)
        pthread_cond_wait(&p->done, &p->lock);
    sqz_status s = p->status;
    p->n = p->next = 0;
    pthread_mutex_unlock(&p->lock);
    return s;
}
