/* sample.c: see sample.h. */
#include "ops/sample.h"
#include <math.h>

typedef struct axis_taps { /* index -1: nothing there */
    int n;
    int64_t at[4];
    double weight[4], slope[4]; /* slope: of the weight, by the coordinate */
} axis_taps;

/* Mirrored at lo and hi until it lies between them. */
static double reflect(double x, double lo, double hi)
{
    const double range = hi - lo;
    if (x >= lo && x <= hi)
        return x;
    if (!(range > 0) || !isfinite(x))
        return lo;
    const double over = x < lo ? lo - x : x - hi;
    const double turns = floor(over / range), rest = over - turns * range;
    return (x < lo) == (fmod(turns, 2) == 0) ? lo + rest : hi - rest;
}

/* What index i stands for; -1: zero. |i| is far below 2^53. */
static int64_t pixel_at(const sqz_sampler *s, int axis, double i)
{
    const double last = (double)(s->size[axis] - 1), half = s->align_corners ? 0 : 0.5;
    if (i >= 0 && i <= last)
        return (int64_t)i;
    switch (s->padding) {
    case SQZ_SAMPLE_BORDER: return i < 0 ? 0 : (int64_t)last;
    case SQZ_SAMPLE_REFLECTION: {
        const double r = reflect(i, -half, last + half);
        return (int64_t)fmin(fmax(r, 0), last);
    }
    default: return -1;
    }
}

/* The coordinate with the padding applied as far as it can be. For cubic reading it is applied to
 * the pixels alone, as PyTorch does, whose operator this is. */
static double settle(const sqz_sampler *s, int axis, float from)
{
    const double last = (double)(s->size[axis] - 1), half = s->align_corners ? 0 : 0.5;
    double x = (double)from;
    if (isnan(x))
        x = -1;
    if (s->padding == SQZ_SAMPLE_ZEROS)
        return fmin(fmax(x, -8), last + 8); /* beyond that, all is zero */
    if (s->mode == SQZ_SAMPLE_CUBIC)
        return fmin(fmax(x, -0x1p40), 0x1p40);
    if (x < -half || x > last + half)
        x = s->padding == SQZ_SAMPLE_BORDER ? fmin(fmax(x, 0), last)
                                            : reflect(x, -half, last + half);
    return x;
}

static double cubic(double t)
{
    const double a = -0.75;
    t = fabs(t);
    return t <= 1 ? ((a + 2) * t - (a + 3)) * t * t + 1 : ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
}

static double cubic_slope(double t)
{
    const double a = -0.75, sign = t < 0 ? -1 : 1;
    t = fabs(t);
    return sign * (t <= 1 ? (3 * (a + 2) * t - 2 * (a + 3)) * t : (3 * a * t - 10 * a) * t + 8 * a);
}

/* How the settled coordinate x moves with the one it came from: reflected ones turn around. */
static double settle_slope(const sqz_sampler *s, int axis, float from, double x)
{
    const double step = 1e-3 * fmax(1, fabs((double)from));
    if (x == (double)from)
        return 1;
    if (s->padding != SQZ_SAMPLE_REFLECTION || s->mode == SQZ_SAMPLE_CUBIC)
        return 0;
    return settle(s, axis, (float)((double)from + step)) > x ? 1 : -1;
}

static void axis_of(const sqz_sampler *s, int axis, float from, axis_taps *t)
{
    const double first = s->mode == SQZ_SAMPLE_CUBIC ? -1 : 0;
    double x = (double)from, base;
    t->n = s->mode == SQZ_SAMPLE_CUBIC ? 4 : s->mode == SQZ_SAMPLE_LINEAR ? 2 : 1;
    if (s->mode == SQZ_SAMPLE_NEAREST) {
        base = settle(s, axis, (float)nearbyint(x));
        t->at[0] = pixel_at(s, axis, trunc(base));
        t->weight[0] = 1;
        t->slope[0] = 0;
        return;
    }
    x = settle(s, axis, from);
    base = floor(x);
    const double moves = settle_slope(s, axis, from, x);
    for (int k = 0; k < t->n; k++) {
        const double i = base + first + k;
        t->at[k] = pixel_at(s, axis, i);
        t->weight[k] = t->n == 4 ? cubic(x - i) : 1 - fabs(x - i);
        t->slope[k] = moves * (t->n == 4 ? cubic_slope(x - i) : k == 0 ? -1 : 1);
    }
}

/* Pixel k of all combinations; false: nothing is there. */
static bool combine(const sqz_sampler *s, const axis_taps *t, int k, size_t *place, int *which)
{
    int64_t at = 0, step = 1;
    for (int a = s->n - 1; a >= 0; a--) {
        const int n = SQZ_MAX(t[a].n, 1), i = k % n;
        k /= n;
        which[a] = i;
        if (t[a].at[i] < 0)
            return false;
        at += t[a].at[i] * step;
        step *= s->size[a];
    }
    *place = (size_t)at;
    return true;
}

static int all_taps(const sqz_sampler *s, const float *x, axis_taps *t)
{
    int all = 1;
    for (int a = 0; a < s->n; a++) {
        axis_of(s, a, x[a], &t[a]);
        all *= t[a].n;
    }
    return all;
}

void sqz_sample(const sqz_sampler *s, const float *x, sqz_samples *out)
{
    axis_taps t[SQZ_SAMPLE_AXES] = {0};
    const int all = all_taps(s, x, t);
    out->n = 0;
    for (int k = 0; k < all; k++) {
        int which[SQZ_SAMPLE_AXES];
        size_t at;
        double weight = 1;
        if (!combine(s, t, k, &at, which))
            continue;
        for (int a = s->n - 1; a >= 0; a--)
            weight *= t[a].weight[which[a]];
        if (weight == 0)
            continue;
        out->at[out->n] = at;
        out->weight[out->n++] = (float)weight;
    }
}

void sqz_sample_grad(const sqz_sampler *s, const float *x, sqz_sample_slopes *out)
{
    axis_taps t[SQZ_SAMPLE_AXES] = {0};
    const int all = all_taps(s, x, t);
    out->s.n = 0;
    for (int k = 0; k < all; k++) {
        int which[SQZ_SAMPLE_AXES];
        size_t at;
        if (!combine(s, t, k, &at, which))
            continue;
        double weight = 1;
        for (int a = 0; a < s->n; a++)
            weight *= t[a].weight[which[a]];
        for (int along = 0; along < s->n; along++) {
            double slope = 1;
            for (int a = 0; a < s->n; a++)
                slope *= a == along ? t[a].slope[which[a]] : t[a].weight[which[a]];
            out->slope[out->s.n][along] = (float)slope;
        }
        out->s.at[out->s.n] = at;
        out->s.weight[out->s.n++] = (float)weight;
    }
}
