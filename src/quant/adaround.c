/* adaround.c: see adaround.h. Rows do not depend on each other: a panel of them goes through all
 * iterations on one thread. */
#include "quant/adaround.h"
#include "kernels/blas.h"
#include "kernels/kernels.h"
#include <math.h>
#include <string.h>

enum { PANEL = 64, BETA = 20 };
#define ZETA  1.1f
#define GAMMA (-0.1f)

/* ---- V and h ---- */

/* Where the code at hand is a neighbor of the weight, h is where the weight is between its two
 * neighbors, drawn half way to the code: the search begins with what is known. Else the two codes
 * are the one at hand and the next one towards the weight. */
void sqz_adaround_begin(const sqz_rounding *r, float *base, float *v)
{
    for (size_t i = 0; i < r->rows * r->cols; i++) {
        const float u = r->w[i] / r->scale[i] + (float)r->zero[i], code = (float)r->codes[i];
        float low = floorf(u), h;
        if (code == low || code == low + 1) {
            h = 0.5f * (u - low) + 0.5f * (code - low);
        } else {
            low = u > code ? code : code - 1;
            h = u > code ? 0.25f : 0.75f;
        }
        const float most = (float)r->hi - 1, least = (float)r->lo;
        if (low > most || low < least) { /* at an end of the codes */
            low = SQZ_MAX(SQZ_MIN(low, most), least);
            h = code - low > 0.5f ? 0.95f : 0.05f;
        }
        h = SQZ_MAX(SQZ_MIN(h, 0.98f), 0.02f);
        base[i] = low;
        v[i] = -logf((ZETA - GAMMA) / (h - GAMMA) - 1);
    }
}

static float weight_of_row(const sqz_rounding *r, size_t row)
{
    const size_t k = r->cols;
    const double *h = r->h + row / (r->rows / r->groups) * k * k;
    double sum = 0;
    for (size_t i = 0; i < k; i++) {
        const double s = (double)r->scale[row * k + i];
        sum += h[i * (k + 1)] * s * s / 12;
    }
    return sum > 0 ? (float)((double)k / sum) : 0.0f;
}

/* x^n, n odd. */
static inline float odd_power(float x, int n)
{
    float square = x * x, y = x;
    for (n /= 2; n; n /= 2, square *= square)
        if (n & 1)
            y *= square;
    return y;
}

/* ---- gradients ---- */

/* d = W~ - w of J, or W~ itself. */
static void take_h(const sqz_adaround_at *p, size_t begin, size_t n, const float *v,
                   const sqz_adaround_room *m)
{
    const sqz_rounding *r = p->r;
    const size_t at = begin * r->cols;
    const float none[2] = {0};
    r->ctx->kernels->map_f32(SQZ_MAP_sigmoid, none, v, m->sig, n);
    for (size_t i = 0; i < n; i++) {
        const float h = m->sig[i] * (ZETA - GAMMA) + GAMMA;
        m->h[i] = h < 0 ? 0 : h > 1 ? 1 : h;
    }
    if (p->pool)
        for (size_t i = 0; i < n; i++)
            m->d[i] = r->scale[at + i] * (p->base[at + i] + m->h[i] - (float)r->zero[at + i]);
    else
        for (size_t i = 0; i < n; i++)
            m->d[i] = r->scale[at + i] * (p->base[at + i] + m->h[i] - (float)r->zero[at + i]) -
                      r->w[at + i];
}

/* g = d E / d W~ of J: 2 (H d + a). */
static void by_moments(const sqz_adaround_at *p, size_t begin, size_t end,
                       const sqz_adaround_room *m)
{
    const size_t k = p->r->cols;
    sqz_rounding_gradient(p->r, begin, end, m->d, m->g);
    for (size_t i = 0; i < (end - begin) * k; i++)
        m->g[i] *= 2;
}

/* Of rows of one group: e = f(W~ x + offset) - z where f is not flat, g = 2 / n e x. */
static void by_group(const sqz_adaround_at *p, size_t begin, size_t n, const float *d,
                     const sqz_adaround_room *m, float *g)
{
    const sqz_rounding *r = p->r;
    const sqz_patch_pool *q = p->pool;
    const size_t k = r->cols, len = q->slice, group = begin / (r->rows / r->groups);
    const float *x = q->x + (group * q->n + p->at) * k;
    const float lo = r->site->clip_lo, hi = r->site->clip_hi;
    const sqz_sgemm y = {.m = n,
                         .n = len,
                         .k = k,
                         .a = d,
                         .b = x,
                         .lda = k,
                         .ldb = k,
                         .ldc = len,
                         .b_rows = true,
                         .c = m->e};
    sqz_sgemm_rows(&y, 0, n);
    for (size_t i = 0; i < n; i++) {
        const float *z = q->z + (begin + i) * q->n + p->at, off = q->offset[begin + i];
        float *e = m->e + i * len;
        for (size_t j = 0; j < len; j++) {
            const float t = e[j] + off, f = t < lo ? lo : t > hi ? hi : t;
            e[j] = t > lo && t < hi ? (f - z[j]) * (2.0f / (float)len) : 0.0f;
        }
    }
    const sqz_sgemm back = {
        .m = n, .n = k, .k = len, .a = m->e, .b = x, .lda = len, .ldb = k, .ldc = k, .c = g};
    sqz_sgemm_rows(&back, 0, n);
}

static void by_data(const sqz_adaround_at *p, size_t begin, size_t end, const sqz_adaround_room *m)
{
    const size_t k = p->r->cols, wide = p->r->rows / p->r->groups;
    for (size_t row = begin; row < end;) {
        const size_t n = SQZ_MIN(end, (row / wide + 1) * wide) - row;
        by_group(p, row, n, m->d + (row - begin) * k, m, m->g + (row - begin) * k);
        row += n;
    }
}

void sqz_adaround_gradient(const sqz_adaround_at *p, size_t begin, size_t end, const float *v,
                           const sqz_adaround_room *m, float *grad)
{
    const sqz_rounding *r = p->r;
    const size_t k = r->cols;
    take_h(p, begin, (end - begin) * k, v, m);
    (p->pool ? by_data : by_moments)(p, begin, end, m);
    for (size_t row = begin; row < end; row++) {
        const float c = weight_of_row(r, row), draw = 2 * p->lambda * (float)p->beta;
        const float *scale = r->scale + row * k;
        const size_t from = (row - begin) * k;
        for (size_t i = from; i < from + k; i++) {
            const float sig = m->sig[i], h = m->h[i];
            const float slope = h > 0 && h < 1 ? (ZETA - GAMMA) * sig * (1 - sig) : 0.0f;
            float by_h = c * scale[i - from] * m->g[i];
            if (p->beta)
                by_h -= draw * odd_power(2 * h - 1, p->beta - 1);
            grad[i] = by_h * slope;
        }
    }
}

/* ---- learning ---- */

typedef struct learn { /* a job over panels */
    const sqz_rounding *r;
    const sqz_patch_pool *pool;
    const sqz_adaround_options *o;
    float *base, *v;        /* rows x cols */
    float *m1, *m2, *grad;  /* Adam: rows x cols */
    sqz_adaround_room room; /* for each worker */
} learn;

static void adam(const learn *l, size_t at, size_t n, const float *grad, int64_t t)
{
    const double b1 = 1 - pow(0.9, (double)t), b2 = 1 - pow(0.999, (double)t);
    const float rate = (float)(l->o->rate * sqrt(b2) / b1), tiny = 1e-8f * (float)sqrt(b2);
    float *v = l->v + at, *m1 = l->m1 + at, *m2 = l->m2 + at;
    for (size_t i = 0; i < n; i++) {
        m1[i] = 0.9f * m1[i] + 0.1f * grad[i];
        m2[i] = 0.999f * m2[i] + 0.001f * grad[i] * grad[i];
        v[i] -= rate * m1[i] / (sqrtf(m2[i]) + tiny);
    }
}

/* Falls from 20 to 2 in even steps once the warm-up is over. */
static int beta_at(const sqz_adaround_options *o, int64_t t)
{
    const double begin = o->warmup * (double)o->iterations;
    if ((double)t < begin)
        return 0;
    const double part = ((double)t - begin) / SQZ_MAX((double)o->iterations - begin, 1.0);
    return BETA - 2 * (int)(part * (BETA / 2.0 - 1e-9));
}

static sqz_status learn_panel(void *arg, size_t begin, size_t end)
{
    const learn *l = arg;
    const size_t k = l->r->cols, at = begin * k, n = (end - begin) * k,
                 own = (size_t)sqz_worker_index() * PANEL;
    const sqz_adaround_room room = {l->room.h + own * k, l->room.d + own * k, l->room.g + own * k,
                                    l->room.sig + own * k,
                                    l->room.e ? l->room.e + own * l->pool->slice : NULL};
    const int64_t all = l->o->iterations,
                  data = l->pool ? all - (int64_t)(l->o->data * (double)all) : all;
    sqz_adaround_at p = {.r = l->r, .base = l->base, .lambda = (float)l->o->lambda};
    for (int64_t t = 0; t < all; t++) {
        p.beta = beta_at(l->o, t);
        p.pool = t < data ? NULL : l->pool;
        if (p.pool)
            p.at = (size_t)(t - data) % (l->pool->n / l->pool->slice) * l->pool->slice;
        sqz_adaround_gradient(&p, begin, end, l->v + at, &room, l->grad + at);
        adam(l, at, n, l->grad + at, t + 1);
    }
    for (size_t i = at; i < at + n; i++)
        l->r->codes[i] = (int8_t)(l->base[i] + (l->v[i] >= 0 ? 1.0f : 0.0f));
    return SQZ_OK;
}

static sqz_status make(learn *l, sqz_arena *a)
{
    const size_t n = l->r->rows * l->r->cols,
                 lines = (size_t)sqz_pool_threads(l->r->ctx->pool) * PANEL,
                 each = lines * l->r->cols;
    sqz_adaround_room *m = &l->room;
    l->base = sqz_arena_alloc(a, n, sizeof *l->base);
    l->v = sqz_arena_alloc(a, n, sizeof *l->v);
    l->m1 = sqz_arena_alloc(a, n, sizeof *l->m1);
    l->m2 = sqz_arena_alloc(a, n, sizeof *l->m2);
    l->grad = sqz_arena_alloc(a, n, sizeof *l->grad);
    m->h = sqz_arena_alloc(a, each, sizeof *m->h);
    m->d = sqz_arena_alloc(a, each, sizeof *m->d);
    m->g = sqz_arena_alloc(a, each, sizeof *m->g);
    m->sig = sqz_arena_alloc(a, each, sizeof *m->sig);
    if (l->pool)
        m->e = sqz_arena_alloc(a, lines * l->pool->slice, sizeof *m->e);
    return l->base && l->v && l->m1 && l->m2 && l->grad && m->h && m->d && m->g && m->sig &&
                   (m->e || !l->pool)
               ? SQZ_OK
               : SQZ_E_NOMEM;
}

sqz_status sqz_adaround(const sqz_rounding *r, const sqz_patch_pool *pool,
                        const sqz_adaround_options *o)
{
    sqz_arena a = {.ctx = r->ctx};
    learn l = {.r = r, .pool = pool, .o = o};
    sqz_status s = make(&l, &a);
    if (s == SQZ_OK) {
        sqz_adaround_begin(r, l.base, l.v);
        s = sqz_parallel(r->ctx, r->rows, PANEL, learn_panel, &l);
    }
    sqz_arena_free(&a);
    return s;
}
