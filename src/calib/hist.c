/* hist.c: streaming histogram over a range that doubles when a larger value comes.
 *
 * The bin of x is trunc(|x| * HALF / reach), mirrored for negative x. Scaling by a power of two is
 * exact and trunc(y / 2) = trunc(trunc(y) / 2), so merging pairs of bins when reach doubles gives
 * exactly the histogram that the wider range would have given from the start. */
#include "calib/hist.h"
#include <math.h>
#include <string.h>

enum { HALF = SQZ_HIST_BINS / 2, BLOCK = SQZ_HIST_BLOCK };

void sqz_hist_begin(sqz_hist *h)
{
    memset(h, 0, sizeof *h);
    h->min = INFINITY;
    h->max = -INFINITY;
}

/* ---- scanning ---- */

void sqz_hist_combine(sqz_hist_part *a, const sqz_hist_part *b)
{
    a->min = SQZ_MIN(a->min, b->min);
    a->max = SQZ_MAX(a->max, b->max);
    a->count += b->count;
    a->zeros += b->zeros;
    a->nonfinite += b->nonfinite;
    a->masked += b->masked;
}

/* Spreads what is picked: blocks at even distances would meet the same columns of an image. */
static bool is_picked(size_t block, size_t every)
{
    return every <= 1 || ((uint32_t)block * 2654435761u >> 12) % every == 0;
}

/* Copies the numbers that a histogram holds; the others are counted. */
static size_t keep_ordinary(const float *x, size_t n, float *out, uint64_t *nonfinite,
                            uint64_t *masked)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (fabsf(x[i]) <= SQZ_HIST_LIMIT)
            out[k++] = x[i];
        else if (x[i] < 0)
            ++*masked;
        else
            ++*nonfinite; /* NaN too */
    }
    return k;
}

void sqz_hist_scan(sqz_scan_f32_fn scan, const float *x, size_t n, sqz_hist_pick pick,
                   sqz_hist_part *out)
{
    float kept[BLOCK];
    *out = (sqz_hist_part){.min = INFINITY, .max = -INFINITY};
    for (size_t i = 0; i < n; i += BLOCK) {
        sqz_hist_part p = {.count = SQZ_MIN(n - i, BLOCK)};
        if (!scan(x + i, p.count, SQZ_HIST_LIMIT, &p.min, &p.max, &p.zeros)) {
            p.count = keep_ordinary(x + i, p.count, kept, &p.nonfinite, &p.masked);
            (void)scan(kept, p.count, SQZ_HIST_LIMIT, &p.min, &p.max, &p.zeros);
        }
        if (!is_picked(pick.first + i / BLOCK, pick.every))
            p.count = p.zeros = 0;
        sqz_hist_combine(out, &p);
    }
}

/* ---- widening ---- */

/* Least power of two above |x|, and not so small that HALF / reach would overflow. */
static float reach_of(float x)
{
    const int least = -100;
    int e;
    (void)frexpf(x, &e);
    return ldexpf(1.0f, x == 0.0f ? least : SQZ_MAX(e, least));
}

static void widen(sqz_hist *h, float reach)
{
    int by = 0;
    if (h->reach == 0.0f) {
        h->reach = reach;
        return;
    }
    for (; h->reach < reach; h->reach *= 2.0f)
        by++;
    by = SQZ_MIN(by, 31); /* all in the innermost bins long before */
    if (by == 0)
        return;
    for (size_t k = 0; k < HALF; k++) {
        uint64_t up = h->bin[HALF + k], down = h->bin[HALF - 1 - k];
        h->bin[HALF + k] = h->bin[HALF - 1 - k] = 0;
        h->bin[HALF + (k >> by)] += up;
        h->bin[HALF - 1 - (k >> by)] += down;
    }
}

void sqz_hist_take(sqz_hist *h, const sqz_hist_part *p)
{
    h->nonfinite += p->nonfinite;
    h->masked += p->masked;
    if (!(p->min <= p->max))
        return;
    widen(h, SQZ_MAX(reach_of(p->min), reach_of(p->max)));
    h->min = SQZ_MIN(h->min, p->min);
    h->max = SQZ_MAX(h->max, p->max);
    h->count += p->count;
    h->zeros += p->zeros;
    h->ema_lo += SQZ_HIST_EMA * ((double)p->min - h->ema_lo);
    h->ema_hi += SQZ_HIST_EMA * ((double)p->max - h->ema_hi);
    h->batches++;
}

/* ---- counting ---- */

static inline void bins_of(const float *x, size_t n, float per_unit, int32_t *bin)
{
    for (size_t i = 0; i < n; i++)
        bin[i] = (int32_t)(x[i] * per_unit) + HALF - (x[i] < 0.0f);
}

static void fill_block(const float *x, size_t n, float per_unit, sqz_hist_bins *b)
{
    int32_t bin[BLOCK];
    size_t i = 0;
    bins_of(x, n, per_unit, bin);
    for (; i + 2 <= n; i += 2) {
        b->n[0][bin[i]]++;
        b->n[1][bin[i + 1]]++;
    }
    if (i < n)
        b->n[0][bin[i]]++;
}

void sqz_hist_fill(const float *x, size_t n, const sqz_hist_part *part, float reach,
                   sqz_hist_pick pick, sqz_hist_bins *b)
{
    float kept[BLOCK];
    uint64_t ignored[2] = {0, 0};
    bool plain = part->nonfinite + part->masked == 0;
    if (part->count == 0)
        return;
    for (size_t i = 0; i < n; i += BLOCK) {
        size_t m = SQZ_MIN(n - i, BLOCK);
        if (!is_picked(pick.first + i / BLOCK, pick.every))
            continue;
        if (!plain)
            m = keep_ordinary(x + i, m, kept, &ignored[0], &ignored[1]);
        fill_block(plain ? x + i : kept, m, HALF / reach, b);
    }
}

void sqz_hist_drain(sqz_hist *h, float lo, float hi, sqz_hist_bins *b)
{
    int32_t end[2];
    float most = nextafterf(h->reach, 0.0f), at[2] = {SQZ_MAX(lo, -most), SQZ_MIN(hi, most)};
    if (!(lo <= hi) || h->reach == 0.0f)
        return;
    bins_of(at, 2, HALF / h->reach, end);
    for (int32_t i = end[0]; i <= end[1]; i++) {
        h->bin[i] += b->n[0][i] + (uint64_t)b->n[1][i];
        b->n[0][i] = b->n[1][i] = 0;
    }
}

void sqz_hist_see_by(sqz_scan_f32_fn scan, sqz_hist *h, const float *x, size_t n)
{
    const sqz_hist_pick pick = {.every = sqz_hist_every(n)};
    float kept[BLOCK];
    int32_t bin[BLOCK];
    uint64_t ignored[2] = {0, 0};
    sqz_hist_part p;
    sqz_hist_scan(scan, x, n, pick, &p);
    sqz_hist_take(h, &p);
    bool plain = p.nonfinite + p.masked == 0;
    for (size_t i = 0; i < n && p.count && !h->ends_only; i += BLOCK) {
        size_t m = SQZ_MIN(n - i, BLOCK);
        if (!is_picked(i / BLOCK, pick.every))
            continue;
        if (!plain)
            m = keep_ordinary(x + i, m, kept, &ignored[0], &ignored[1]);
        bins_of(plain ? x + i : kept, m, HALF / h->reach, bin);
        for (size_t k = 0; k < m; k++)
            h->bin[bin[k]]++;
    }
}

void sqz_hist_see(sqz_hist *h, const float *x, size_t n)
{
    sqz_hist_see_by(sqz_scan_f32_scalar, h, x, n);
}

/* ---- whole histograms ---- */

void sqz_hist_merge(sqz_hist *into, const sqz_hist *from)
{
    sqz_hist_part p = {from->min,   from->max,       from->count,
                       from->zeros, from->nonfinite, from->masked};
    double later = pow(1.0 - SQZ_HIST_EMA, (double)from->batches);
    double lo = later * into->ema_lo + from->ema_lo, hi = later * into->ema_hi + from->ema_hi;
    uint64_t batches = into->batches + from->batches;
    sqz_hist_take(into, &p);
    into->ends_only = into->ends_only || from->ends_only;
    into->ema_lo = lo;
    into->ema_hi = hi;
    into->batches = batches;
    int by = 0;
    for (float r = from->reach; r > 0.0f && r < into->reach; r *= 2.0f)
        by++;
    by = SQZ_MIN(by, 31);
    for (size_t k = 0; k < HALF && from->count; k++) {
        into->bin[HALF + (k >> by)] += from->bin[HALF + k];
        into->bin[HALF - 1 - (k >> by)] += from->bin[HALF - 1 - k];
    }
}

void sqz_hist_span(const sqz_hist *h, size_t *first, size_t *last)
{
    *first = 0;
    *last = h->count ? SQZ_HIST_BINS : 0;
    while (*first < *last && h->bin[*first] == 0)
        ++*first;
    while (*last > *first && h->bin[*last - 1] == 0)
        --*last;
}

double sqz_hist_outside(const sqz_hist *h, sqz_range r)
{
    size_t first, last;
    double out = 0, lo = (double)r.lo, hi = (double)r.hi;
    sqz_hist_span(h, &first, &last);
    for (size_t i = first; i < last; i++) { /* nothing, when only the ends are known */
        double a = SQZ_MAX(sqz_hist_edge(h, i), (double)h->min);
        double b = SQZ_MIN(sqz_hist_edge(h, i + 1), (double)h->max);
        double n = (double)h->bin[i];
        if (a >= lo && b <= hi)
            continue;
        if (b <= a) /* one point */
            out += a < lo || a > hi ? n : 0.0;
        else
            out += n * (SQZ_MAX(0.0, SQZ_MIN(b, lo) - a) + SQZ_MAX(0.0, b - SQZ_MAX(a, hi))) /
                   (b - a);
    }
    return h->count ? SQZ_MIN(out / (double)h->count, 1.0) : 0.0;
}
