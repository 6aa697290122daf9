/* entropy: the threshold whose quantized distribution tells least from the real one (Migacz 2017,
 * "8-bit inference with TensorRT").
 *
 * A candidate cuts magnitudes at T. P: counts inside, with what lies beyond added to the bin at
 * that end; Q: the counts inside alone, merged into as many groups as the grid has steps and spread
 * evenly over the non-empty bins of each group. T with the smallest KL(P||Q) wins, both
 * distributions blended with a little of the uniform one so that no bin of Q is empty.
 *
 * For asymmetric grids T cuts both ends, but never beyond what was seen: a tensor after a ReLU
 * spends all levels on 0..T, one after a swish keeps its short end whole, and an even tensor is cut
 * evenly. Exact zeros are on every grid and say nothing about the range: they are left out, or
 * their heap after a ReLU would decide. For the same reason no more than a small share of all
 * values may be cut off: channels that are constant make heaps at other places too. */
#include "calib/calib.h"
#include <math.h>

enum { HALF = SQZ_HIST_BINS / 2 };

typedef struct options {
    double cut;
} options;

typedef struct span { /* bins of a candidate, outermost first */
    size_t first, last;
} span;

typedef struct job {
    const sqz_hist *h;
    span seen;
    unsigned levels;
    bool symmetric;
    double total; /* without zeros */
    double most;  /* values that may be cut off */
} job;

static double count(const job *j, size_t bin)
{
    return (double)j->h->bin[bin] - (bin == HALF ? (double)j->h->zeros : 0.0);
}

static span cut_at(const job *j, size_t t) /* t bins on each side of 0 */
{
    if (j->symmetric)
        return (span){HALF - t, HALF + t};
    return (span){SQZ_MAX(j->seen.first, HALF - t), SQZ_MIN(j->seen.last, HALF + t)};
}

/* Sum over bins first .. last-1 of one group, which Q spreads evenly over the non-empty ones. */
static double divergence_of_group(const job *j, const span *c, size_t first, size_t last,
                                  const double beyond[2], double inside)
{
    const double blend = 1e-4, floor = blend / (double)(c->last - c->first);
    double sum = 0, filled = 0, kl = 0;
    for (size_t i = first; i < last; i++) {
        sum += count(j, i);
        filled += count(j, i) > 0;
    }
    for (size_t i = first; i < last; i++) {
        double n = count(j, i);
        double q = n > 0 ? sum / filled / inside : 0.0;
        n += (i == c->first ? beyond[0] : 0.0) + (i + 1 == c->last ? beyond[1] : 0.0);
        if (n == 0.0)
            continue; /* p == q == floor */
        double p = (1 - blend) * n / j->total + floor;
        kl += p * log(p / ((1 - blend) * q + floor));
    }
    return kl;
}

static double divergence(const job *j, size_t t)
{
    span c = cut_at(j, t);
    double beyond[2] = {0, 0}, inside = 0, kl = 0;
    for (size_t i = j->seen.first; i < j->seen.last; i++) {
        if (i < c.first)
            beyond[0] += count(j, i);
        else if (i >= c.last)
            beyond[1] += count(j, i);
        else
            inside += count(j, i);
    }
    if (!(inside > 0) || beyond[0] + beyond[1] > j->most)
        return INFINITY;
    size_t n = c.last - c.first, groups = SQZ_MIN(n, j->levels);
    for (size_t g = 0; g < groups; g++)
        kl += divergence_of_group(j, &c, c.first + g * n / groups, c.first + (g + 1) * n / groups,
                                  beyond, inside);
    return kl;
}

/* Best threshold of from, from + step(s), ... up to `to`; ties go to the wider one. */
static void search(const job *j, size_t from, size_t to, double growth, size_t *best, double *kl)
{
    for (size_t t = from; t <= to; t = SQZ_MAX(t + 1, (size_t)nearbyint((double)t * growth))) {
        double d = divergence(j, t);
        if (d <= *kl) {
            *kl = d;
            *best = t;
        }
    }
}

static sqz_status range(sqz_ctx *ctx, const sqz_hist *h, const void *opts, unsigned levels,
                        bool symmetric, sqz_range *out)
{
    (void)ctx;
    job j = {.h = h,
             .levels = symmetric ? levels - 1 : levels,
             .symmetric = symmetric,
             .total = (double)(h->count - h->zeros),
             .most = ((const options *)opts)->cut / 100.0 * (double)h->count};
    sqz_hist_span(h, &j.seen.first, &j.seen.last);
    j.seen.first = SQZ_MIN(j.seen.first, HALF);
    j.seen.last = SQZ_MAX(j.seen.last, HALF);
    size_t full = SQZ_MAX(HALF - j.seen.first, j.seen.last - HALF), least = 1, best = full;
    double kl = j.total > 0 ? divergence(&j, full) : 0.0;
    while (least < full && cut_at(&j, least).last - cut_at(&j, least).first < levels)
        least++; /* fewer bins than levels: every candidate would be exact but for its cut */
    if (j.total > 0) {
        search(&j, least, full, 1.04, &best, &kl);
        search(&j, SQZ_MAX(least, best - best / 25), SQZ_MIN(full, best + best / 25), 1.002, &best,
               &kl);
    }
    double t = sqz_hist_edge(h, HALF + best);
    if (symmetric)
        t = fmin(t, fmax(-(double)h->min, (double)h->max));
    *out = (sqz_range){(float)fmax(-t, symmetric ? -t : (double)h->min),
                       (float)fmin(t, symmetric ? t : (double)h->max)};
    return SQZ_OK;
}

static const sqz_attr opts[] = {
    {.name = "cut",
     .offset = offsetof(options, cut),
     .type = SQZ_A_FLOAT,
     .def = 0.1,
     .min = 0.0,
     .max = 100.0,
     .doc = "percent of the values that may be cut off at most"},
};

const sqz_calib sqz_calib_entropy = {
    .info = {.name = "entropy",
             .doc = "smallest KL divergence of the quantized distribution",
             .opt_size = sizeof(options),
             .opts = opts,
             .n_opts = SQZ_COUNT(opts)},
    .range = range,
};
