/* kmeans.c: see kmeans.h. Clusters of sorted points are intervals, so dynamic programming finds the
 * optimum: best[c][j], the least cost of points 0 .. j-1 in c clusters, from best[c-1]. Where the
 * last cluster begins only moves right with j, so halving the range of j finds all beginnings of a
 * layer in n log n steps. */
#include "quant/kmeans.h"
#include <math.h>
#include <string.h>

typedef struct point { /* one value, or a bin: its mean, weight and spread do not matter apart */
    double x, w;
} point;

typedef struct line {
    size_t n;
    const point *p;
    double *w, *s, *q; /* sums before point i of w, w*x, w*x*x, x from the middle: n + 1 */
} line;

/* ---- points ---- */

/* The first place in a rising list where x could stand. */
static size_t find(const float *sorted, size_t n, float x)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        if (sorted[mid] < x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Different values, sorted; 0: more than SQZ_KMEANS_BINS. */
static size_t distinct(const float *x, size_t n, float *sorted)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t at = find(sorted, k, x[i]);
        if (at < k && sorted[at] == x[i])
            continue;
        if (k == SQZ_KMEANS_BINS)
            return 0;
        memmove(sorted + at + 1, sorted + at, (k - at) * sizeof *sorted);
        sorted[at] = x[i];
        k++;
    }
    return k;
}

static size_t bin_of(float x, float lo, float hi)
{
    const double at = ((double)x - (double)lo) / ((double)hi - (double)lo) * SQZ_KMEANS_BINS;
    return SQZ_MIN((size_t)at, (size_t)SQZ_KMEANS_BINS - 1);
}

/* Points with weights, in rising order; empty bins are left out. A value of weight 0 still is a
 * point: it counts next to nothing. */
static size_t gather_points(const float *x, const float *weight, size_t n, float *sorted, point *p)
{
    const size_t values = distinct(x, n, sorted);
    float lo = x[0], hi = x[0];
    for (size_t i = 0; i < n && !values; i++) {
        lo = fminf(lo, x[i]);
        hi = fmaxf(hi, x[i]);
    }
    for (size_t i = 0; i < n; i++) {
        const size_t b = values ? find(sorted, values, x[i]) : bin_of(x[i], lo, hi);
        const double w = (weight ? (double)weight[i] : 1.0) + 1e-12;
        p[b].w += w;
        p[b].x += w * (double)x[i];
    }
    size_t k = 0;
    for (size_t b = 0; b < (values ? values : SQZ_KMEANS_BINS); b++)
        if (p[b].w > 0)
            p[k++] = (point){p[b].x / p[b].w, p[b].w};
    return k;
}

/* ---- the optimum ---- */

static void add_up(line *l)
{
    const double middle = l->p[l->n / 2].x;
    l->w[0] = l->s[0] = l->q[0] = 0;
    for (size_t i = 0; i < l->n; i++) {
        const double x = l->p[i].x - middle, w = l->p[i].w;
        l->w[i + 1] = l->w[i] + w;
        l->s[i + 1] = l->s[i] + w * x;
        l->q[i + 1] = l->q[i] + w * x * x;
    }
}

/* Cost of points i .. j-1 around their mean. */
static double cost(const line *l, size_t i, size_t j)
{
    const double w = l->w[j] - l->w[i], s = l->s[j] - l->s[i], q = l->q[j] - l->q[i];
    return fmax(q - s * s / w, 0.0);
}

typedef struct span { /* ends lo .. hi whose last cluster begins in from .. to */
    size_t lo, hi, from, to;
} span;

/* One more cluster: begin[j] and best[j] for every j, from `before` with one cluster less. */
static void layer(const line *l, const double *before, double *best, uint16_t *begin, size_t least)
{
    span stack[64]; /* halves of halves: at most one waits for each halving */
    size_t depth = 0;
    stack[depth++] = (span){least, l->n, least - 1, l->n - 1};
    while (depth) {
        const span s = stack[--depth];
        const size_t j = (s.lo + s.hi) / 2;
        size_t at = s.from;
        best[j] = INFINITY;
        for (size_t i = s.from; i <= s.to && i < j; i++) {
            const double c = before[i] + cost(l, i, j);
            if (c < best[j]) {
                best[j] = c;
                at = i;
            }
        }
        begin[j] = (uint16_t)at;
        if (j < s.hi)
            stack[depth++] = (span){j + 1, s.hi, at, s.to};
        if (j > s.lo)
            stack[depth++] = (span){s.lo, j - 1, s.from, at};
    }
}

static sqz_status solve(const line *l, uint32_t k, sqz_arena *a, float *center)
{
    const size_t room = l->n + 1;
    size_t all;
    if (!sqz_mul(room, k, &all))
        return SQZ_E_LIMIT;
    double *best[2] = {sqz_arena_alloc(a, room, sizeof(double)),
                       sqz_arena_alloc(a, room, sizeof(double))};
    uint16_t *begin = sqz_arena_alloc(a, all, sizeof *begin);
    if (!best[0] || !best[1] || !begin)
        return SQZ_E_NOMEM;
    for (size_t j = 1; j <= l->n; j++)
        best[0][j] = cost(l, 0, j);
    for (uint32_t c = 1; c < k; c++)
        layer(l, best[(c + 1) % 2], best[c % 2], begin + c * room, c + 1);
    const double middle = l->p[l->n / 2].x;
    size_t end = l->n;
    for (uint32_t c = k; c-- > 0;) {
        const size_t from = c ? begin[c * room + end] : 0;
        center[c] = (float)(middle + (l->s[end] - l->s[from]) / (l->w[end] - l->w[from]));
        end = from;
    }
    return SQZ_OK;
}

uint32_t sqz_center_of(const float *center, uint32_t n, float x)
{
    uint32_t lo = 0, hi = n - 1;
    while (lo < hi) { /* the first center that is not below x, then its neighbor */
        const uint32_t mid = (lo + hi) / 2;
        if (center[mid] < x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 && x - center[lo - 1] <= center[lo] - x ? lo - 1 : lo;
}

/* Each center becomes the mean of what is nearest to it (Lloyd): never worse, and it makes up for
 * what the bins took as one. */
static void polish(const float *x, const float *weight, size_t n, uint32_t k, float *center,
                   double *sum)
{
    memset(sum, 0, 2 * (size_t)k * sizeof *sum);
    for (size_t i = 0; i < n; i++) {
        const uint32_t c = sqz_center_of(center, k, x[i]);
        const double w = weight ? (double)weight[i] : 1.0;
        sum[2 * c] += w;
        sum[2 * c + 1] += w * (double)x[i];
    }
    for (uint32_t c = 0; c < k; c++)
        if (sum[2 * c] > 0)
            center[c] = (float)(sum[2 * c + 1] / sum[2 * c]);
}

static sqz_status kmeans(sqz_arena *a, const float *x, const float *weight, size_t n, uint32_t k,
                         float *center, uint32_t *n_center)
{
    line l = {0};
    float *sorted = sqz_arena_alloc(a, SQZ_KMEANS_BINS + 1, sizeof *sorted);
    point *p = sqz_arena_alloc(a, SQZ_KMEANS_BINS, sizeof *p);
    l.w = sqz_arena_alloc(a, SQZ_KMEANS_BINS + 1, sizeof *l.w);
    l.s = sqz_arena_alloc(a, SQZ_KMEANS_BINS + 1, sizeof *l.s);
    l.q = sqz_arena_alloc(a, SQZ_KMEANS_BINS + 1, sizeof *l.q);
    if (!sorted || !p || !l.w || !l.s || !l.q)
        return SQZ_E_NOMEM;
    l.p = p;
    l.n = gather_points(x, weight, n, sorted, p);
    add_up(&l);
    *n_center = (uint32_t)SQZ_MIN((size_t)k, l.n);
    SQZ_TRY(solve(&l, *n_center, a, center));
    double *sum = sqz_arena_alloc(a, 2 * (size_t)k, sizeof *sum);
    if (!sum)
        return SQZ_E_NOMEM;
    for (int i = 0; i < 2; i++)
        polish(x, weight, n, *n_center, center, sum);
    return SQZ_OK;
}

sqz_status sqz_kmeans(sqz_ctx *ctx, const float *x, const float *weight, size_t n, uint32_t k,
                      float *center, uint32_t *n_center)
{
    sqz_arena a = {.ctx = ctx};
    *n_center = 0;
    if (n == 0 || k == 0)
        return SQZ_OK;
    const sqz_status s = kmeans(&a, x, weight, n, k, center, n_center);
    sqz_arena_free(&a);
    return s;
}
