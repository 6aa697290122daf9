/* pool.c: see pool.h. */
#include "ops/pool.h"
#include "kernels/multiplier.h"
#include "ops/ew.h"
#include "runtime/sqz_rt.h"
#include <string.h>

/* ---- shapes ---- */

/* The window over an input whose spatial axes begin at `s`. Without attributes it is the whole
 * image, of any number of axes, seen as one column. */
static sqz_status window_of(sqz_ctx *ctx, const sqz_pool_attrs *at, const sqz_shape *x, int32_t s,
                            sqz_window *w)
{
    static const sqz_window_attrs plain;
    int32_t n = 2;
    int64_t all[2] = {1, 1};
    if (!at) {
        if (x->rank < 3)
            return sqz_fail(ctx, SQZ_E_SHAPE, "the input has rank %d, expected 3 or more",
                            (int)x->rank);
        for (int32_t i = 0; i < x->rank - 2; i++)
            all[0] *= x->dim[s + i];
        return sqz_window_make(ctx, n, all, all, &plain, false, w);
    }
    SQZ_TRY(sqz_window_rank(ctx, x, &n));
    if (at->kernel_shape.n != (uint32_t)n)
        return sqz_fail(ctx, SQZ_E_SHAPE, "kernel_shape has %u entries, expected %d",
                        (unsigned)at->kernel_shape.n, (int)n);
    return sqz_window_make(ctx, n, x->dim + s, at->kernel_shape.v, &at->window, at->ceil_mode, w);
}

static sqz_status infer(sqz_infer *q, const sqz_pool_attrs *at)
{
    const sqz_shape *x = &q->in[0]->shape;
    const int32_t s = sqz_axis_s(q->in[0]);
    sqz_window w;
    SQZ_TRY(sqz_need_real(q, 0));
    SQZ_TRY(window_of(q->ctx, at, x, s, &w));
    q->out[0] = *x;
    for (int32_t i = 0; i < x->rank - 2; i++)
        q->out[0].dim[s + i] = at ? w.out[i + 4 - x->rank] : 1;
    return SQZ_OK;
}
sqz_status sqz_pool_infer(sqz_infer *q) { return infer(q, q->attrs); }
sqz_status sqz_pool_infer_global(sqz_infer *q) { return infer(q, NULL); }

/* One operation for each tap of each output. */
void sqz_pool_cost(const sqz_infer *q, sqz_cost *out)
{
    const sqz_pool_attrs *at = q->attrs; /* empty for global pools: n stays 0 */
    const sqz_shape *x = &q->in[0]->shape, *y = &q->out[0];
    *out = (sqz_cost){.kind = SQZ_COST_POOL, .ops = 1};
    for (int32_t i = 0; i < y->rank; i++)
        out->ops *= (uint64_t)y->dim[i];
    for (int32_t i = 0; i < x->rank - 2; i++)
        out->ops *= (uint64_t)(at ? at->kernel_shape.v[i] : x->dim[sqz_axis_s(q->in[0]) + i]);
}

sqz_status sqz_pool_import(sqz_import *im, const sqz_op *op)
{
    sqz_pool_attrs at;
    const sqz_raw_attr *k = sqz_import_attr(im, "kernel_shape");
    sqz_opts_default(&op->info, &at);
    if (!k || k->ints.n == 0)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "attribute 'kernel_shape' is missing");
    if (im->n_out > 1 && im->out_name[1])
        return sqz_fail(im->g->ctx, SQZ_E_UNSUPPORTED, "the output Indices is used");
    at.kernel_shape = k->ints;
    at.ceil_mode = sqz_import_int(im, "ceil_mode", 0) != 0;
    at.count_include_pad = sqz_import_int(im, "count_include_pad", 0) != 0;
    SQZ_TRY(sqz_window_import(im, (int32_t)k->ints.n, k->ints.v, &at.window));
    bool dilated = false;
    for (uint32_t i = 0; i < at.window.dilations.n; i++)
        dilated = dilated || at.window.dilations.v[i] != 1;
    if (!dilated) /* older opsets have no dilations in pools: none are written then */
        at.window.dilations.n = 0;
    return sqz_import_node(im, op, &at, im->in, 1);
}

/* ---- state ---- */

typedef struct state {
    sqz_window w;
    int64_t n, c;
    bool count_pad;
    sqz_rt_pool rt;
} state;

static sqz_status prepare(sqz_prep *p)
{
    const sqz_shape *x = &p->in[0]->shape;
    const sqz_pool_attrs *at = p->attrs;
    state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    if (!s)
        return SQZ_E_NOMEM;
    SQZ_TRY(window_of(p->ctx, at, x, 1, &s->w));
    s->n = x->dim[0];
    s->c = x->dim[x->rank - 1];
    s->count_pad = at && at->count_include_pad;
    if (s->n > INT32_MAX || s->c > INT32_MAX)
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "a tensor of %lld samples and %lld channels",
                        (long long)s->n, (long long)s->c);
    const sqz_window *w = &s->w;
    s->rt = (sqz_rt_pool){.in_h = (int32_t)w->in[0],
                          .in_w = (int32_t)w->in[1],
                          .c = (int32_t)s->c,
                          .out_h = (int32_t)w->out[0],
                          .out_w = (int32_t)w->out[1],
                          .k_h = (int32_t)w->k[0],
                          .k_w = (int32_t)w->k[1],
                          .stride_h = (int32_t)w->stride[0],
                          .stride_w = (int32_t)w->stride[1],
                          .dil_h = (int32_t)w->dil[0],
                          .dil_w = (int32_t)w->dil[1],
                          .pad_top = (int32_t)w->begin[0],
                          .pad_left = (int32_t)w->begin[1],
                          .pad_bottom = (int32_t)w->end[0],
                          .pad_right = (int32_t)w->end[1],
                          .count_pad = s->count_pad};
    p->state = s;
    return SQZ_OK;
}

sqz_status sqz_pool_prepare_max(sqz_prep *p)
{
    SQZ_TRY(sqz_need_same_grid(p));
    return prepare(p);
}

#define MAX_TAPS 65536 /* 255 of each stay below the 2^24 of sqz_rt_small_to_s8 */

/* Multipliers of s_in / (s_out * k) for every count k of taps. */
sqz_status sqz_pool_prepare_average(sqz_prep *p)
{
    bool integer = false;
    SQZ_TRY(sqz_need_s8(p, 1, &integer));
    SQZ_TRY(prepare(p));
    if (!integer)
        return SQZ_OK;
    state *s = p->state;
    const int64_t taps = s->w.k[0] * s->w.k[1];
    if (s->w.k[0] > MAX_TAPS || s->w.k[1] > MAX_TAPS || taps > MAX_TAPS)
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "an int8 average over %lld x %lld, at most %d",
                        (long long)s->w.k[0], (long long)s->w.k[1], MAX_TAPS);
    int32_t *mult = sqz_arena_alloc(p->arena, (size_t)taps, sizeof *mult);
    int32_t *shift = sqz_arena_alloc(p->arena, (size_t)taps, sizeof *shift);
    if (!mult || !shift)
        return SQZ_E_NOMEM;
    const double ratio = (double)p->in_q[0]->scale[0] / (double)p->out_q[0]->scale[0];
    for (int64_t k = 1; k <= taps; k++)
        sqz_multiplier(ratio / (double)k, &mult[k - 1], &shift[k - 1]);
    s->rt.mult = mult;
    s->rt.shift = shift;
    s->rt.in_zero = p->in_q[0]->zero[0];
    s->rt.out_zero = p->out_q[0]->zero[0];
    return SQZ_OK;
}

/* ---- float: work is split by output rows of all samples ---- */

#define BLOCK 128 /* channels that are accumulated together */

typedef struct job {
    const state *s;
    const void *x;
    void *y;
} job;

typedef struct taps { /* of one output pixel: those inside the image, and the divisor */
    int64_t lo[2], hi[2], first[2];
    double counted;
} taps;

static taps taps_at(const state *s, int64_t oy, int64_t ox)
{
    const int64_t o[2] = {oy, ox};
    sqz_window padded = s->w; /* the image with its padding, for count_include_pad */
    taps t = {.counted = 1};
    for (int a = 0; a < 2; a++) {
        int64_t lo, hi;
        sqz_window_taps(&s->w, a, o[a], &t.lo[a], &t.hi[a]);
        padded.in[a] += padded.begin[a] + padded.end[a];
        padded.begin[a] = 0;
        sqz_window_taps(s->count_pad ? &padded : &s->w, a, o[a], &lo, &hi);
        t.counted *= (double)(hi - lo);
        t.first[a] = o[a] * s->w.stride[a] - s->w.begin[a];
    }
    return t;
}

static const float *tap(const state *s, const float *x, const taps *t, int64_t ky, int64_t kx)
{
    int64_t iy = t->first[0] + ky * s->w.dil[0], ix = t->first[1] + kx * s->w.dil[1];
    return x + (iy * s->w.in[1] + ix) * s->c;
}

static void max_pixel(const state *s, const taps *t, const float *x, float *y)
{
    for (int64_t c = 0; c < s->c; c++)
        y[c] = -INFINITY;
    for (int64_t ky = t->lo[0]; ky < t->hi[0]; ky++)
        for (int64_t kx = t->lo[1]; kx < t->hi[1]; kx++) {
            const float *v = tap(s, x, t, ky, kx);
            for (int64_t c = 0; c < s->c; c++)
                y[c] = v[c] > y[c] || isnan(v[c]) ? v[c] : y[c];
        }
}

static void average_pixel(const state *s, const taps *t, const float *x, float *y)
{
    for (int64_t c0 = 0; c0 < s->c; c0 += BLOCK) {
        const int64_t n = SQZ_MIN(s->c - c0, (int64_t)BLOCK);
        double acc[BLOCK] = {0};
        for (int64_t ky = t->lo[0]; ky < t->hi[0]; ky++)
            for (int64_t kx = t->lo[1]; kx < t->hi[1]; kx++) {
                const float *v = tap(s, x, t, ky, kx) + c0;
                for (int64_t c = 0; c < n; c++)
                    acc[c] += (double)v[c];
            }
        for (int64_t c = 0; c < n; c++)
            y[c0 + c] = t->counted > 0 ? (float)(acc[c] / t->counted) : 0.0f;
    }
}

typedef void (*pixel_fn)(const state *s, const taps *t, const float *x, float *y);

static void rows(const job *j, size_t begin, size_t end, pixel_fn pixel)
{
    const state *s = j->s;
    const sqz_window *w = &s->w;
    for (size_t row = begin; row < end; row++) {
        const int64_t oy = (int64_t)(row % (size_t)w->out[0]);
        const float *x = (const float *)j->x +
                         (int64_t)(row / (size_t)w->out[0]) * w->in[0] * w->in[1] * s->c;
        for (int64_t ox = 0; ox < w->out[1]; ox++) {
            taps t = taps_at(s, oy, ox);
            pixel(s, &t, x, (float *)j->y + ((int64_t)row * w->out[1] + ox) * s->c);
        }
    }
}
static sqz_status max_piece(void *arg, size_t begin, size_t end)
{
    rows(arg, begin, end, max_pixel);
    return SQZ_OK;
}
static sqz_status average_piece(void *arg, size_t begin, size_t end)
{
    rows(arg, begin, end, average_pixel);
    return SQZ_OK;
}

/* Rows of about 64k operations make a piece. */
static size_t grain(const state *s)
{
    const double work = (double)s->w.k[0] * (double)s->w.k[1] * (double)s->w.out[1] * (double)s->c;
    return work > 65536 ? 1 : (size_t)(65536 / SQZ_MAX(work, 1));
}

static sqz_status run(const sqz_call *c, sqz_task_fn piece)
{
    job j = {c->state, c->in[0]->data, c->out[0]->data};
    if (c->out[0]->count == 0)
        return SQZ_OK;
    return sqz_parallel(c->ctx, (size_t)(j.s->n * j.s->w.out[0]), grain(j.s), piece, &j);
}
sqz_status sqz_pool_run_max(const sqz_call *c) { return run(c, max_piece); }
sqz_status sqz_pool_run_average(const sqz_call *c) { return run(c, average_piece); }

/* ---- int8: work is split by samples ---- */

typedef void (*kernel_fn)(const sqz_rt_pool *p, const int8_t *x, int8_t *y);

static void samples(const job *j, size_t begin, size_t end, kernel_fn kernel)
{
    sqz_rt_pool rt = j->s->rt;
    const size_t in = (size_t)rt.in_h * (size_t)rt.in_w * (size_t)rt.c;
    const size_t out = (size_t)rt.out_h * (size_t)rt.out_w * (size_t)rt.c;
    rt.n = (int32_t)(end - begin);
    kernel(&rt, (const int8_t *)j->x + begin * in, (int8_t *)j->y + begin * out);
}
static sqz_status max_samples(void *arg, size_t begin, size_t end)
{
    samples(arg, begin, end, sqz_rt_maxpool_s8);
    return SQZ_OK;
}
static sqz_status average_samples(void *arg, size_t begin, size_t end)
{
    samples(arg, begin, end, sqz_rt_avgpool_s8);
    return SQZ_OK;
}

static sqz_status run_int(const sqz_call *c, sqz_task_fn piece)
{
    job j = {c->state, c->in[0]->data, c->out[0]->data};
    if (c->out[0]->count == 0)
        return SQZ_OK;
    return sqz_parallel(c->ctx, (size_t)j.s->n, 1, piece, &j);
}
sqz_status sqz_pool_int_max(const sqz_call *c) { return run_int(c, max_samples); }
sqz_status sqz_pool_int_average(const sqz_call *c) { return run_int(c, average_samples); }
