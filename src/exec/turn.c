/* turn.c: samples from the file's layout (N, C, rest) to channel-last (N, rest, C). */
#include "exec/exec.h"
#include <string.h>

#define BLOCK ((size_t)512) /* positions at a time: a block of every channel stays in cache */

typedef struct job {
    const sqz_turn *t;
    const unsigned char *from;
    unsigned char *to;
} job;

/* Positions [begin, end) of one sample; `elem` and `channels` are constants where it is inlined. */
static inline __attribute__((always_inline)) void turn(const sqz_turn *t, const unsigned char *from,
                                                       unsigned char *to, size_t begin, size_t end,
                                                       size_t elem, size_t channels)
{
    for (size_t i = begin; i < end; i++)
        for (size_t c = 0; c < channels; c++)
            memcpy(to + (i * channels + c) * elem, from + (c * t->rest + i) * elem, elem);
}

static void turn_block(const sqz_turn *t, const unsigned char *from, unsigned char *to,
                       size_t begin, size_t end)
{
    if (t->elem == 4 && t->channels == 3)
        turn(t, from, to, begin, end, 4, 3);
    else if (t->elem == 4)
        turn(t, from, to, begin, end, 4, t->channels);
    else if (t->elem == 1)
        turn(t, from, to, begin, end, 1, t->channels);
    else
        turn(t, from, to, begin, end, t->elem, t->channels);
}

static sqz_status turn_some(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_turn *t = j->t;
    const size_t blocks = (t->rest + BLOCK - 1) / BLOCK, sample = t->channels * t->rest * t->elem;
    for (size_t b = begin; b < end; b++) {
        const size_t first = b % blocks * BLOCK, last = SQZ_MIN(first + BLOCK, t->rest);
        turn_block(t, j->from + b / blocks * sample, j->to + b / blocks * sample, first, last);
    }
    return SQZ_OK;
}

sqz_status sqz_turn_last(sqz_ctx *ctx, const sqz_turn *t, const void *from, void *to)
{
    job j = {.t = t, .from = from, .to = to};
    const size_t blocks = (t->rest + BLOCK - 1) / BLOCK;
    return sqz_parallel(ctx, t->n * blocks, 32, turn_some, &j);
}
