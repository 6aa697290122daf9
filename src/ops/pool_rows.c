/* pool_rows.c: see pool_rows.h. */
#include "ops/pool_rows.h"
#include "kernels/kernels.h"
#include <math.h>
#include <string.h>

#define PIECE     ((size_t)1 << 19) /* bytes of taps in a piece of work: some 10 us */
#define MOST_TAPS (1 << 22) / 255   /* sqz_average_s8 */

typedef struct job {
    const sqz_pool_rows *r;
    const sqz_kernels *k;
    const char *x;
    char *y;
    size_t elem, n_block, block; /* channels are split where there are few lines */
} job;

/* Taps that the divisor counts along an axis, of `inside` in the image. */
static int64_t counted(const sqz_pool_rows *r, int axis, int64_t o, int64_t inside)
{
    const sqz_window *w = &r->w;
    const int64_t room = w->in[axis] + w->begin[axis] + w->end[axis] - o * w->stride[axis];
    if (!r->count_pad)
        return inside;
    return SQZ_MIN(w->k[axis], (SQZ_MAX(room, 0) + w->dil[axis] - 1) / w->dil[axis]);
}

static void fill(const job *j, const sqz_taps *t, char *y)
{
    const sqz_pool_rows *r = j->r;
    for (size_t p = 0; p < t->m; p++, y += t->ldy * j->elem)
        if (r->s8)
            memset(y, r->average ? r->rt->out_zero : INT8_MIN, t->n);
        else
            for (size_t i = 0; i < t->n; i++)
                ((float *)(void *)y)[i] = r->average ? 0.0f : -INFINITY;
}

static void average_s8(const job *j, const sqz_taps *t, int64_t count, const char *x, char *y)
{
    const sqz_rt_pool *rt = j->r->rt;
    sqz_average_s8 a = {.start = -rt->in_zero * (int32_t)(t->ny * t->nx),
                        .mult = rt->mult[count - 1],
                        .shift = rt->shift[count - 1],
                        .zero = rt->out_zero};
    /* a factor of 128 and more: the scalar kernel takes those */
    const bool fast = sqz_factor_small(&a.f, a.mult, a.shift);
    (fast ? j->k->avgpool_s8 : sqz_avgpool_s8_scalar)(t, &a, (const int8_t *)x, (int8_t *)y);
}

static void windows(const job *j, const sqz_taps *t, int64_t count, const char *x, char *y)
{
    const sqz_pool_rows *r = j->r;
    if (t->ny == 0 || t->nx == 0)
        fill(j, t, y);
    else if (r->s8 && r->average)
        average_s8(j, t, count, x, y);
    else if (r->s8)
        j->k->maxpool_s8(t, (const int8_t *)x, (int8_t *)y);
    else if (r->average)
        j->k->avgpool_f32(t, (float)count, (const float *)(const void *)x, (float *)(void *)y);
    else
        j->k->maxpool_f32(t, (const float *)(const void *)x, (float *)(void *)y);
}

/* Output pixels [ox, ox + m) of a line, whose windows have the same taps. `line`: the input line of
 * the first tap, of which there are ny. */
static void span(const job *j, int64_t oy, int64_t ox, int64_t m, const char *x, char *y)
{
    enum { H = SQZ_AXIS_H, W = SQZ_AXIS_W };
    const sqz_pool_rows *r = j->r;
    const sqz_window *w = &r->w;
    int64_t y0, y1, x0, x1;
    sqz_window_taps(w, H, oy, &y0, &y1);
    sqz_window_taps(w, W, ox, &x0, &x1);
    const int64_t count = counted(r, H, oy, y1 - y0) * counted(r, W, ox, x1 - x0);
    const sqz_taps t = {.m = (size_t)m,
                        .n = j->block,
                        .step = (size_t)w->stride[W] * r->c,
                        .ldy = r->c,
                        .ny = (size_t)(y1 - y0),
                        .line = (size_t)(w->dil[H] * w->in[W]) * r->c,
                        .nx = (size_t)(x1 - x0),
                        .next = (size_t)w->dil[W] * r->c};
    const int64_t at = sqz_window_input(w, H, oy, y0) * w->in[W] + sqz_window_input(w, W, ox, x0);
    const bool none = t.ny == 0 || t.nx == 0; /* `at` may lie outside then */
    windows(j, &t, count, x + (none ? 0 : (size_t)at * r->c * j->elem),
            y + (size_t)ox * r->c * j->elem);
}

/* One line of one block of channels; windows that begin at [lo, hi) lie inside the image. */
static void line(const job *j, size_t row, size_t block)
{
    enum { H = SQZ_AXIS_H, W = SQZ_AXIS_W };
    const sqz_pool_rows *r = j->r;
    const sqz_window *w = &r->w;
    const size_t pixel = r->c * j->elem, from = block * j->block, sample = row / (size_t)w->out[H];
    const char *x = j->x + sample * sqz_volume(w->in) * pixel + from * j->elem;
    char *y = j->y + row * (size_t)w->out[W] * pixel + from * j->elem;
    const int64_t oy = (int64_t)(row % (size_t)w->out[H]), n = w->out[W];
    const int64_t room = w->in[W] - 1 - (w->k[W] - 1) * w->dil[W] + w->begin[W];
    const int64_t lo = SQZ_MIN(n, (w->begin[W] + w->stride[W] - 1) / w->stride[W]);
    const int64_t hi = SQZ_MAX(lo, SQZ_MIN(n, room < 0 ? 0 : room / w->stride[W] + 1));
    job part = *j;
    part.block = SQZ_MIN(j->block, r->c - from);
    for (int64_t ox = 0; ox < lo; ox++)
        span(&part, oy, ox, 1, x, y);
    if (hi > lo)
        span(&part, oy, lo, hi - lo, x, y);
    for (int64_t ox = hi; ox < n; ox++)
        span(&part, oy, ox, 1, x, y);
}

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    for (size_t i = begin; i < end; i++)
        line(j, i / j->n_block, i % j->n_block);
    return SQZ_OK;
}

bool sqz_pool_rows_fit(const sqz_pool_rows *r)
{
    const sqz_window *w = &r->w;
    const bool flat = w->in[SQZ_AXIS_D] == 1 && w->k[SQZ_AXIS_D] == 1 && w->out[SQZ_AXIS_D] == 1;
    const double taps = (double)w->k[SQZ_AXIS_H] * (double)w->k[SQZ_AXIS_W];
    return flat && !(r->average && r->s8 && taps > MOST_TAPS);
}

sqz_status sqz_pool_rows_run(sqz_ctx *ctx, const sqz_pool_rows *r, const void *x, void *y)
{
    enum { H = SQZ_AXIS_H, W = SQZ_AXIS_W };
    const sqz_window *w = &r->w;
    const size_t lines = r->n * (size_t)w->out[H];
    job j = {.r = r, .k = ctx->kernels, .x = x, .y = y, .elem = r->s8 ? 1 : 4, .n_block = 1};
    if (lines == 0 || w->out[W] == 0 || r->c == 0)
        return SQZ_OK;
    /* of input that a line reads; an input of no extent is all padding */
    double bytes = (double)w->out[W] * (double)r->c * (double)j.elem *
                   (double)SQZ_MIN(w->k[H], w->in[H]) * (double)SQZ_MIN(w->k[W], w->in[W]);
    bytes = SQZ_MAX(bytes, 1.0);
    j.block = r->c;
    if (lines < 16 && bytes > (double)PIECE && r->c >= 128) { /* 16 pieces, of whole registers */
        j.block = SQZ_MAX((r->c * lines / 16 + 63) / 64, (size_t)1) * 64;
        j.n_block = (r->c + j.block - 1) / j.block;
        bytes /= (double)j.n_block;
    }
    const size_t grain = bytes >= (double)PIECE ? 1 : (size_t)((double)PIECE / bytes);
    return sqz_parallel(ctx, lines * j.n_block, grain, piece, &j);
}
