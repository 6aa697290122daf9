/* percentile: the range that leaves out 100-p percent of the values at each end.
 *
 * Both ends are cut, each at its own percentile of the whole distribution, with linear
 * interpolation inside a bin; a tensor after a ReLU, whose lower end is a heap of zeros, is cut at
 * the upper end only. Symmetric: percentile of the magnitudes. */
#include "calib/calib.h"
#include <math.h>

typedef struct options {
    double p;
} options;

/* Where `tail` of all values lie above (up) or below. */
static double cut(const sqz_hist *h, double tail, bool up)
{
    double left = tail * (double)h->count;
    size_t first, last;
    sqz_hist_span(h, &first, &last);
    for (size_t k = 0; k < last - first; k++) {
        size_t i = up ? last - 1 - k : first + k;
        double n = (double)h->bin[i], a = sqz_hist_edge(h, i), b = sqz_hist_edge(h, i + 1);
        if (left < n)
            return up ? b - (b - a) * left / n : a + (b - a) * left / n;
        left -= n;
    }
    return 0.0;
}

/* The same for magnitudes: bins of both signs, from the outside in. */
static double cut_magnitude(const sqz_hist *h, double tail)
{
    double left = tail * (double)h->count;
    for (size_t k = SQZ_HIST_BINS / 2; k-- > 0;) {
        size_t i = SQZ_HIST_BINS / 2 + k;
        double n = (double)(h->bin[i] + h->bin[SQZ_HIST_BINS - 1 - i]);
        double a = sqz_hist_edge(h, i), b = sqz_hist_edge(h, i + 1);
        if (left < n)
            return b - (b - a) * left / n;
        left -= n;
    }
    return 0.0;
}

static sqz_status range(sqz_ctx *ctx, const sqz_hist *h, const void *opts, unsigned levels,
                        bool symmetric, sqz_range *out)
{
    (void)ctx;
    (void)levels;
    double tail = 1.0 - ((const options *)opts)->p / 100.0;
    double lo = cut(h, tail, false), hi = cut(h, tail, true);
    if (symmetric)
        lo = -(hi = fmin(cut_magnitude(h, tail), fmax(-(double)h->min, (double)h->max)));
    else { /* an edge of a bin may lie beyond what was seen */
        lo = fmin(fmax(lo, (double)h->min), (double)h->max);
        hi = fmax(fmin(hi, (double)h->max), lo);
    }
    *out = (sqz_range){(float)lo, (float)hi};
    return SQZ_OK;
}

static const sqz_attr opts[] = {
    {.name = "p",
     .offset = offsetof(options, p),
     .type = SQZ_A_FLOAT,
     .def = 99.99,
     .min = 50.0,
     .max = 100.0,
     .doc = "percentile of the upper end; the lower end is at 100-p"},
};

const sqz_calib sqz_calib_percentile = {
    .info = {.name = "percentile",
             .doc = "leaves out the same small share of values at each end",
             .opt_size = sizeof(options),
             .opts = opts,
             .n_opts = SQZ_COUNT(opts)},
    .range = range,
};
