/* mse: the range with the smallest mean squared quantization error.
 *
 * The error of a grid lo, lo+s, ..., hi on values spread evenly within each bin has a closed form:
 * with r = round(u), G(u) = r/12 + (u-r)^3/3 is the integral of (u - round(u))^2, so inside the
 * range the integral of the squared error is s^3 G(x/s), and outside, where x is clipped to c, it
 * grows by (x-c)^3/3. A histogram costs one evaluation per bin edge; zeros cost nothing, they are
 * on every grid. Both ends are searched as fractions of what was seen, coarse to fine. */
#include "calib/calib.h"
#include <math.h>

typedef struct search {
    const sqz_hist *h;
    size_t first, last;
    unsigned levels;
    bool symmetric;
    double lo, hi; /* ends at fraction 1; lo <= 0 <= hi */
    double clip;   /* what a squared error of clipping counts */
} search;

typedef struct options {
    double clip;
} options;

typedef struct grid {
    double step, lo, hi; /* ends on the grid, zero on the grid */
} grid;

static grid grid_of(double lo, double hi, unsigned levels, bool symmetric)
{
    double steps = symmetric ? levels - 2.0 : levels - 1.0; /* -127..127, -128..127 */
    double step = (hi - lo) / steps;
    double below = symmetric ? steps / 2 : nearbyint(-lo / step);
    return (grid){step, -below * step, (steps - below) * step};
}

/* Integral of the squared error from 0 to x. */
static inline double integral(const grid *g, double x, double clip)
{
    const double magic = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer */
    double in = x < g->lo ? g->lo : x > g->hi ? g->hi : x;
    double u = in / g->step, r = (u + magic) - magic, d = u - r, beyond = x - in;
    return g->step * g->step * g->step * (r / 12.0 + d * d * d / 3.0) +
           clip * beyond * beyond * beyond / 3.0;
}

/* Sum of squared errors when the ends are cut to fractions fl and fh. */
static double cost(const search *s, double fl, double fh)
{
    grid g = grid_of(fl * s->lo, fh * s->hi, s->levels, s->symmetric);
    double width = sqz_hist_edge(s->h, s->first + 1) - sqz_hist_edge(s->h, s->first);
    double sum = 0, at = integral(&g, sqz_hist_edge(s->h, s->first), s->clip);
    for (size_t i = s->first; i < s->last; i++) {
        double next = integral(&g, sqz_hist_edge(s->h, i + 1), s->clip);
        double n = (double)s->h->bin[i] - (i == SQZ_HIST_BINS / 2 ? (double)s->h->zeros : 0.0);
        sum += n * (next - at);
        at = next;
    }
    return sum / width;
}

/* Best of fraction f * 2^(k * pitch), k = -reach..reach, at most 1, for the ends that `which`
 * selects: 1 lo, 2 hi, 3 both together. */
static void refine(const search *s, int which, double pitch, int reach, double f[2], double *best)
{
    double from[2] = {f[0], f[1]}, fl = 0, fh = 0;
    for (int k = -reach; k <= reach; k++) {
        double scale = exp2(k * pitch);
        double was[2] = {fl, fh};
        fl = which & 1 ? fmin(from[0] * scale, 1.0) : from[0];
        fh = which & 2 ? fmin(from[1] * scale, 1.0) : from[1];
        if (fl == was[0] && fh == was[1])
            break; /* both at the end */
        double c = cost(s, fl, fh);
        if (c < *best) {
            *best = c;
            f[0] = fl;
            f[1] = fh;
        }
    }
}

static sqz_status range(sqz_ctx *ctx, const sqz_hist *h, const void *opts, unsigned levels,
                        bool symmetric, sqz_range *out)
{
    (void)ctx;
    search s = {.h = h,
                .clip = opts ? ((const options *)opts)->clip : 1.0,
                .levels = levels,
                .symmetric = symmetric,
                .lo = fmin((double)h->min, 0.0),
                .hi = fmax((double)h->max, 0.0)};
    if (symmetric)
        s.lo = -(s.hi = fmax(-s.lo, s.hi));
    sqz_hist_span(h, &s.first, &s.last);
    *out = (sqz_range){(float)s.lo, (float)s.hi};
    if (!(s.hi - s.lo > 0))
        return SQZ_OK; /* only zeros */
    double f[2] = {1.0, 1.0}, best = cost(&s, 1.0, 1.0);
    int ends = (s.lo < 0 ? 1 : 0) | (s.hi > 0 ? 2 : 0);
    refine(&s, ends, 0.25, 40, f, &best); /* down to 1/1024 */
    for (double pitch = 0.25; pitch > 0.002; pitch /= 4) {
        for (int end = 1; end <= 2 && !symmetric && ends == 3; end++)
            refine(&s, end, pitch, pitch == 0.25 ? 12 : 4, f, &best);
        refine(&s, ends, pitch, 4, f, &best);
    }
    *out = (sqz_range){(float)(f[0] * s.lo), (float)(f[1] * s.hi)};
    return SQZ_OK;
}

static const sqz_attr schema[] = {
    {.name = "clip",
     .offset = offsetof(options, clip),
     .type = SQZ_A_FLOAT,
     .def = 1.0,
     .min = 1.0,
     .max = 1e6,
     .doc = "what a squared error of clipping counts beside one of rounding"},
};

const sqz_calib sqz_calib_mse = {
    .info = {.name = "mse",
             .doc = "smallest mean squared quantization error",
             .opt_size = sizeof(options),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .range = range,
};
