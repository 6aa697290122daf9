/* conv_back.c: see conv_back.h. Pixel i = first + s*j of an axis with step s gets
 * sum over t of g(u0 + j - t) * w(r + s*t), r = (i + padding) mod s, u0 = (first + padding - r)/s.
 */
#include "ops/conv_back.h"
#include <math.h>
#include <string.h>

enum { MOST_STEP = 4, MOST_KERNEL = 32, H = SQZ_AXIS_H, W = SQZ_AXIS_W };

typedef struct part { /* a phase of one axis */
    size_t first, n, tap, taps;
    int64_t u; /* what the last tap (t = 0) reads for pixel `first` */
} part;
typedef struct axis {
    part part[MOST_STEP];
    size_t n;       /* parts */
    int64_t lo, hi; /* all of g that is read, padding included */
} axis;

struct sqz_back {
    sqz_conv v;
    bool depthwise, covers; /* every pixel belongs to a phase that has taps */
    axis y, x;
    size_t panels[MOST_STEP * MOST_STEP]; /* where the weights of phase y * x.n + x begin, bytes */
    size_t tall, wide;                    /* of g with its padding */
    size_t at, own, each;                 /* in the scratch: of the panels, the workers; of one */
    const float *zeros;                   /* a pixel of g */
};

/* ---- preparing ---- */

bool sqz_back_can(const sqz_conv *v)
{
    const sqz_window *w = &v->w;
    bool can = w->in[SQZ_AXIS_D] == 1 && w->out[SQZ_AXIS_D] == 1 && w->k[SQZ_AXIS_D] == 1;
    for (int a = H; a <= W; a++)
        can = can && w->stride[a] <= MOST_STEP && w->dil[a] == 1 && w->k[a] <= MOST_KERNEL;
    return can && !v->transposed && (v->groups == 1 || (v->depth == 1 && v->c_out == v->c_in));
}

static axis axis_of(const sqz_window *w, int a)
{
    const int64_t s = w->stride[a], k = w->k[a], begin = w->begin[a];
    axis x = {.n = (size_t)s, .lo = INT64_MAX, .hi = INT64_MIN};
    for (int64_t r = 0; r < s; r++) {
        const int64_t first = ((r - begin) % s + s) % s;
        part *p = &x.part[r];
        *p = (part){.first = (size_t)first,
                    .n = first < w->in[a] ? (size_t)((w->in[a] - 1 - first) / s + 1) : 0,
                    .tap = (size_t)r,
                    .taps = r < k ? (size_t)((k - 1 - r) / s + 1) : 0,
                    .u = (first + begin - r) / s};
        if (!p->n || !p->taps)
            continue;
        x.lo = SQZ_MIN(x.lo, p->u - (int64_t)p->taps + 1);
        x.hi = SQZ_MAX(x.hi, p->u + (int64_t)p->n - 1);
    }
    return x;
}

static bool is_covered(const axis *x)
{
    bool all = true;
    for (size_t i = 0; i < x->n; i++)
        all = all && (x->part[i].taps || !x->part[i].n);
    return all;
}

static sqz_status too_large(sqz_ctx *ctx)
{
    return sqz_fail(ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
}

/* Bytes of the panels of all phases. */
static sqz_status lay_out(sqz_ctx *ctx, sqz_back *b, size_t *bytes)
{
    const size_t terms = b->depthwise ? 1 : b->v.c_out;
    *bytes = 0;
    for (size_t y = 0; y < b->y.n; y++)
        for (size_t x = 0; x < b->x.n; x++) {
            const size_t taps = b->y.part[y].taps * b->x.part[x].taps;
            b->panels[y * b->x.n + x] = *bytes;
            if (taps && !sqz_add(*bytes, sqz_pack_f32_bytes(b->v.c_in, taps, terms), bytes))
                return too_large(ctx);
        }
    return SQZ_OK;
}

sqz_status sqz_back_prepare(sqz_grad_prep *p, const sqz_conv *v, sqz_back **out)
{
    sqz_back *b = sqz_arena_alloc(p->arena, 1, sizeof *b);
    sqz_prep run = sqz_grad_as_prep(p);
    size_t panels, pixels;
    if (!b)
        return SQZ_E_NOMEM;
    *out = b;
    b->v = *v;
    b->depthwise = v->groups > 1;
    b->y = axis_of(&v->w, H);
    b->x = axis_of(&v->w, W);
    b->covers = is_covered(&b->y) && is_covered(&b->x);
    b->tall = b->y.hi >= b->y.lo ? (size_t)(b->y.hi - b->y.lo + 1) : 0;
    b->wide = b->x.hi >= b->x.lo ? (size_t)(b->x.hi - b->x.lo + 1) : 0;
    b->zeros = sqz_arena_alloc(p->arena, v->c_out, sizeof(float));
    if (!b->zeros)
        return SQZ_E_NOMEM;
    SQZ_TRY(lay_out(p->ctx, b, &panels));
    if (!sqz_mul(b->tall, b->wide, &pixels) ||
        !sqz_mul(pixels, b->depthwise ? sizeof(void *) : v->c_out * sizeof(float), &b->each) ||
        !sqz_add(b->each, b->depthwise ? b->x.n * b->tall * sizeof(void *) : 0, &b->each))
        return too_large(p->ctx);
    b->each = sqz_scratch_round(b->each);
    SQZ_TRY(sqz_scratch_all(&run, b->each));
    b->at = sqz_scratch_round(p->scratch_bytes);
    b->own = b->at + sqz_scratch_round(panels);
    if (!sqz_add(b->own, run.scratch_bytes, &p->scratch_bytes))
        return too_large(p->ctx);
    return SQZ_OK;
}

/* ---- weights: panels of SQZ_PANEL inputs, the taps from the last to the first ---- */

typedef struct job {
    const sqz_grad_call *c;
    const sqz_back *b;
} job;

static float *panel_of(const job *j, size_t y, size_t x)
{
    return (float *)(void *)((char *)j->c->scratch + j->b->at + j->b->panels[y * j->b->x.n + x]);
}

/* One tap of `n` inputs from `first` on. */
static float *pack_tap(const job *j, size_t tap, size_t first, size_t n, float *to)
{
    const sqz_conv *v = &j->b->v;
    const float *w = SQZ_F32P(j->c->in[1]);
    if (j->b->depthwise) {
        for (size_t i = 0; i < n; i++)
            to[i] = w[(first + i) * v->taps + tap];
        return to + SQZ_PANEL;
    }
    for (size_t o = 0; o < v->c_out; o++, to += SQZ_PANEL)
        memcpy(to, w + (o * v->taps + tap) * v->c_in + first, n * sizeof *to);
    return to;
}

static sqz_status pack(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_back *b = j->b;
    const int64_t *k = b->v.w.k, *s = b->v.w.stride;
    for (size_t i = begin; i < end; i++) {
        const part *y = &b->y.part[i / b->x.n], *x = &b->x.part[i % b->x.n];
        const size_t terms = y->taps * x->taps * (b->depthwise ? 1 : b->v.c_out);
        float *to = panel_of(j, i / b->x.n, i % b->x.n);
        for (size_t first = 0; terms && first < b->v.c_in; first += SQZ_PANEL) {
            const size_t n = SQZ_MIN(b->v.c_in - first, SQZ_PANEL);
            memset(to, 0, (n < SQZ_PANEL ? terms + 1 : 1) * SQZ_PANEL * sizeof *to);
            to += SQZ_PANEL;
            for (size_t ty = y->taps; ty-- > 0;)
                for (size_t tx = x->taps; tx-- > 0;)
                    to = pack_tap(
                        j, (y->tap + ty * (size_t)s[H]) * (size_t)k[W] + x->tap + tx * (size_t)s[W],
                        first, n, to);
        }
    }
    return SQZ_OK;
}

/* ---- one sample ---- */

/* Line y of g, or NULL where there is padding. */
static const float *line_of(const job *j, size_t sample, int64_t y)
{
    const sqz_window *w = &j->b->v.w;
    const size_t line = (size_t)w->out[W] * j->b->v.c_out;
    return y < 0 || y >= w->out[H]
               ? NULL
               : j->c->out_grad[0] + (sample * (size_t)w->out[H] + (size_t)y) * line;
}

static sqz_out_f32 result(const job *j, size_t sample, size_t y, size_t x)
{
    const sqz_window *w = &j->b->v.w;
    const size_t c = j->b->v.c_in;
    float *d = j->c->in_grad[0] + ((sample * (size_t)w->in[H] + y) * (size_t)w->in[W] + x) * c;
    return (sqz_out_f32){.y = d,
                         .ld = (size_t)w->stride[W] * c,
                         .add = sqz_grad_adds(j->c, 0) ? d : NULL,
                         .ld_add = (size_t)w->stride[W] * c,
                         .lo = -INFINITY,
                         .hi = INFINITY};
}

/* g with its padding, from lo on. */
static void copy(const job *j, size_t sample, float *to)
{
    const sqz_back *b = j->b;
    const size_t c = b->v.c_out, line = b->wide * c;
    const int64_t end = SQZ_MIN(b->x.hi + 1, b->v.w.out[W]), begin = SQZ_MAX(b->x.lo, 0);
    for (size_t y = 0; y < b->tall; y++, to += line) {
        const float *from = line_of(j, sample, b->y.lo + (int64_t)y);
        if (!from || begin >= end) {
            memset(to, 0, line * sizeof *to);
            continue;
        }
        const size_t left = (size_t)(begin - b->x.lo) * c, n = (size_t)(end - begin) * c;
        memset(to, 0, left * sizeof *to);
        memcpy(to + left, from + (size_t)begin * c, n * sizeof *to);
        memset(to + left + n, 0, (line - left - n) * sizeof *to);
    }
}

static void dense_phase(const job *j, size_t sample, size_t iy, size_t ix, const float *g)
{
    const sqz_back *b = j->b;
    const part *y = &b->y.part[iy], *x = &b->x.part[ix];
    const size_t c = b->v.c_out, line = b->wide * c;
    size_t seg[MOST_KERNEL];
    const size_t n_seg = y->taps, len = x->taps * c;
    const sqz_packed w = {.n = b->v.c_in, .n_seg = n_seg, .len = len, .data = panel_of(j, iy, ix)};
    sqz_left l = {.m = x->n,
                  .width = x->n,
                  .step = c * sizeof(float),
                  .seg = seg,
                  .n_seg = n_seg,
                  .len = len};
    for (size_t t = 0; t < n_seg; t++)
        seg[t] = t * line * sizeof(float);
    for (size_t i = 0; i < y->n; i++) {
        const size_t uy = (size_t)(y->u + (int64_t)i - (int64_t)y->taps + 1 - b->y.lo);
        const size_t ux = (size_t)(x->u - (int64_t)x->taps + 1 - b->x.lo);
        const sqz_out_f32 o = result(j, sample, y->first + i * b->y.n, x->first);
        l.a = g + uy * line + ux * c;
        j->c->ctx->kernels->gemm_f32(&w, 0, b->v.c_in, &l, &o);
    }
}

/* Addresses of all pixels, and for each phase along W its lists of lines. */
static void list(const job *j, size_t sample, const void **pixel, const void *const **lines)
{
    const sqz_back *b = j->b;
    const size_t c = b->v.c_out;
    for (size_t y = 0; y < b->tall; y++, pixel += b->wide) {
        const float *from = line_of(j, sample, b->y.lo + (int64_t)y);
        for (size_t x = 0; x < b->wide; x++) {
            const int64_t at = b->x.lo + (int64_t)x;
            pixel[x] = from && at >= 0 && at < b->v.w.out[W] ? from + (size_t)at * c : b->zeros;
        }
        for (size_t i = 0; i < b->x.n; i++) {
            const part *p = &b->x.part[i];
            const int64_t first = p->n && p->taps ? p->u - (int64_t)p->taps + 1 - b->x.lo : 0;
            lines[i * b->tall + y] = pixel + first;
        }
    }
}

static void depthwise_phase(const job *j, size_t sample, size_t iy, size_t ix,
                            const void *const *const *lines)
{
    const sqz_back *b = j->b;
    const part *y = &b->y.part[iy], *x = &b->x.part[ix];
    const bool whole = b->y.n == 1 && b->x.n == 1; /* pixels lie one behind the other */
    const sqz_packed w = {
        .n = b->v.c_in, .n_seg = y->taps, .len = x->taps, .data = panel_of(j, iy, ix)};
    sqz_windows win = {.lines = whole ? y->n : 1, .width = x->n, .line_step = 1, .step = 1};
    for (size_t i = 0; i < y->n; i += win.lines) {
        const sqz_out_f32 o = result(j, sample, y->first + i * b->y.n, x->first);
        win.x = lines + ix * b->tall + (size_t)(y->u + (int64_t)i - (int64_t)y->taps + 1 - b->y.lo);
        j->c->ctx->kernels->dwconv_f32(&w, &win, &o);
    }
}

static sqz_status samples(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_back *b = j->b;
    char *own = (char *)j->c->scratch + b->own + (size_t)sqz_worker_index() * b->each;
    const void **pixel = (const void **)(void *)own;
    const void *const **lines = (const void *const **)(void *)(pixel + b->tall * b->wide);
    for (size_t s = begin; s < end; s++) {
        if (b->depthwise)
            list(j, s, pixel, lines);
        else
            copy(j, s, (float *)(void *)own);
        for (size_t y = 0; y < b->y.n; y++)
            for (size_t x = 0; x < b->x.n; x++) {
                if (!b->y.part[y].taps || !b->x.part[x].taps || !b->x.part[x].n)
                    continue;
                if (b->depthwise)
                    depthwise_phase(j, s, y, x, lines);
                else
                    dense_phase(j, s, y, x, (const float *)(void *)own);
            }
    }
    return SQZ_OK;
}

sqz_status sqz_back_run(const sqz_grad_call *c, const sqz_back *b)
{
    enum { WORK = 400 * 1000 };
    job j = {c, b};
    const size_t n = sqz_dim(c->in[0], 0),
                 work = b->v.pixels / SQZ_MAX(n, (size_t)1) * b->v.k * b->v.c_out;
    if (!b->covers)
        sqz_grad_begin(c, 0);
    SQZ_TRY(sqz_parallel(c->ctx, b->y.n * b->x.n, 1, pack, &j));
    return sqz_parallel(c->ctx, n, WORK / SQZ_MAX(work, (size_t)1) + 1, samples, &j);
}
