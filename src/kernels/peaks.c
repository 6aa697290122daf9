/* peaks.c: best of several short runs, as others may be using the machine. */
#include "kernels/peaks.h"
#include "kernels/kernels.h"
#include <stdatomic.h>
#include <string.h>

#define READ_BYTES ((size_t)96 << 20) /* beyond the caches */
#define PIECE      ((size_t)1 << 20)

typedef struct load {
    sqz_ctx *ctx;
    int integer;
    size_t rounds;
    _Atomic uint64_t ops;
    const uint64_t *memory;
    _Atomic uint64_t sum; /* so that the reads are not optimized away */
} load;

static sqz_status multiply(void *arg, size_t begin, size_t end)
{
    load *l = arg;
    float sink[4] = {0.5f, 0.25f, 1.0f, 0.0f};
    for (size_t i = begin; i < end; i++)
        atomic_fetch_add(&l->ops, l->ctx->kernels->peak(l->integer, l->rounds, sink));
    atomic_fetch_add(&l->sum, sink[3] > 0);
    return SQZ_OK;
}

static sqz_status fetch(void *arg, size_t begin, size_t end)
{
    load *l = arg;
    uint64_t sum = 0;
    for (size_t p = begin; p < end; p++) {
        const uint64_t *from = l->memory + p * (PIECE / sizeof *from);
        for (size_t i = 0; i < PIECE / sizeof *from; i++)
            sum += from[i];
    }
    atomic_fetch_add(&l->sum, sum);
    return SQZ_OK;
}

/* Best rate in `seconds`, two pieces of work for each thread at a time. */
static sqz_status best_rate(load *l, double seconds, double *best)
{
    const size_t pieces = 2 * (size_t)sqz_pool_threads(l->ctx->pool);
    *best = 0;
    for (double begin = sqz_now(); *best == 0 || sqz_now() - begin < seconds;) {
        atomic_store(&l->ops, 0);
        double start = sqz_now();
        SQZ_TRY(sqz_parallel(l->ctx, pieces, 1, multiply, l));
        double took = sqz_now() - start;
        if (took < 1e-4) { /* too short to time */
            l->rounds *= 2;
            continue;
        }
        *best = SQZ_MAX(*best, (double)atomic_load(&l->ops) / took);
    }
    return SQZ_OK;
}

static sqz_status read_rate(load *l, double seconds, double *best)
{
    *best = 0;
    for (double begin = sqz_now(); *best == 0 || sqz_now() - begin < seconds;) {
        double start = sqz_now();
        SQZ_TRY(sqz_parallel(l->ctx, READ_BYTES / PIECE, 1, fetch, l));
        *best = SQZ_MAX(*best, (double)READ_BYTES / (sqz_now() - start));
    }
    return SQZ_OK;
}

sqz_status sqz_peaks_measure(sqz_ctx *ctx, double seconds, sqz_peaks *out)
{
    load l = {.ctx = ctx, .rounds = 1000};
    const double third = (seconds > 0 ? seconds : 0.2) / 3;
    SQZ_TRY(best_rate(&l, third, &out->f32));
    l.integer = 1;
    SQZ_TRY(best_rate(&l, third, &out->s8));
    uint64_t *memory = sqz_malloc_aligned(ctx, READ_BYTES);
    if (!memory)
        return SQZ_E_NOMEM;
    memset(memory, 1, READ_BYTES);
    l.memory = memory;
    sqz_status s = read_rate(&l, third, &out->read);
    sqz_free_aligned(ctx, memory);
    return s;
}
