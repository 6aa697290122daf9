/* image_resize.c: separable triangle filters, rows first: y(o) = sum_i w(o,i) x(i), sum_i w(o,i)
 * = 1. Sums are in double and in a fixed order, so a pixel does not depend on the machine. */
#include "io/image.h"
#include <math.h>
#include <string.h>

typedef struct taps { /* output o is made of inputs first[o] .. first[o] + n[o] - 1 */
    size_t *first, *n;
    double *w; /* `most` per output */
    size_t most;
} taps;

static void taps_free(sqz_ctx *ctx, taps *t)
{
    sqz_free(ctx, t->first);
    sqz_free(ctx, t->n);
    sqz_free(ctx, t->w);
}

/* One output: the triangle of half width `reach` around `center`, cut at the border, sum 1. */
static void one(taps *t, size_t o, double center, double reach, size_t in)
{
    double lo = floor(center - reach), hi = ceil(center + reach), sum = 0;
    size_t a = lo < 0 ? 0 : (size_t)lo, b = hi > (double)in ? in : (size_t)hi;
    double *w = t->w + o * t->most;
    t->first[o] = a;
    t->n[o] = 0;
    for (size_t i = a; i < b && t->n[o] < t->most; i++) {
        double d = fabs(((double)i + 0.5 - center) / reach);
        w[i - a] = d < 1 ? 1 - d : 0;
        sum += w[i - a];
        t->n[o] = i - a + 1;
    }
    for (size_t i = 0; i < t->n[o]; i++)
        w[i] /= sum;
}

static sqz_status taps_make(sqz_ctx *ctx, size_t in, double begin, double length, size_t out,
                            bool antialias, taps *t)
{
    double step = length / (double)out, reach = antialias && step > 1 ? step : 1;
    t->most = (size_t)ceil(2 * reach) + 2;
    t->first = sqz_calloc(ctx, out, sizeof *t->first);
    t->n = t->first ? sqz_calloc(ctx, out, sizeof *t->n) : NULL;
    size_t all;
    if (!t->n || !sqz_mul(out, t->most, &all) || !(t->w = sqz_calloc(ctx, all, sizeof *t->w)))
        return SQZ_E_NOMEM;
    for (size_t o = 0; o < out; o++) {
        double center = begin + ((double)o + 0.5) * step;
        /* a centre beyond the outermost pixel centres takes the border pixel */
        center = fmin(fmax(center, 0.5), (double)in - 0.5);
        one(t, o, center, reach, in);
    }
    return SQZ_OK;
}

typedef struct job {
    const float *f32;
    const unsigned char *u8; /* one of the two */
    size_t in_h, in_w, c, out_h, out_w;
    taps y, x;
    double *row; /* in_w x c: an output row before it is made narrower */
} job;

static void add_row(const job *j, size_t y, double w)
{
    size_t n = j->in_w * j->c;
    if (j->u8) {
        const unsigned char *p = j->u8 + y * n;
        for (size_t i = 0; i < n; i++)
            j->row[i] += w * p[i];
    } else {
        const float *p = j->f32 + y * n;
        for (size_t i = 0; i < n; i++)
            j->row[i] += w * (double)p[i];
    }
}

static void narrow(const job *j, float *out)
{
    for (size_t o = 0; o < j->out_w; o++)
        for (size_t k = 0; k < j->c; k++) {
            const double *p = j->row + j->x.first[o] * j->c + k, *w = j->x.w + o * j->x.most;
            double sum = 0;
            for (size_t i = 0; i < j->x.n[o]; i++)
                sum += w[i] * p[i * j->c];
            *out++ = (float)sum;
        }
}

static sqz_status resize(sqz_ctx *ctx, job *j, const sqz_window *part, bool antialias, float *out)
{
    SQZ_TRY(taps_make(ctx, j->in_h, part->y, part->height, j->out_h, antialias, &j->y));
    SQZ_TRY(taps_make(ctx, j->in_w, part->x, part->width, j->out_w, antialias, &j->x));
    size_t n = j->in_w * j->c;
    j->row = sqz_calloc(ctx, n, sizeof *j->row);
    if (!j->row)
        return SQZ_E_NOMEM;
    for (size_t o = 0; o < j->out_h; o++) {
        memset(j->row, 0, n * sizeof *j->row);
        for (size_t i = 0; i < j->y.n[o]; i++)
            add_row(j, j->y.first[o] + i, j->y.w[o * j->y.most + i]);
        narrow(j, out + o * j->out_w * j->c);
    }
    return SQZ_OK;
}

static sqz_status run(sqz_ctx *ctx, job *j, const sqz_window *part, bool antialias, float *out)
{
    sqz_status s = resize(ctx, j, part, antialias, out);
    taps_free(ctx, &j->y);
    taps_free(ctx, &j->x);
    sqz_free(ctx, j->row);
    return s;
}

sqz_status sqz_resize_f32(sqz_ctx *ctx, const float *in, size_t in_h, size_t in_w, size_t c,
                          const sqz_window *part, bool antialias, size_t out_h, size_t out_w,
                          float *out)
{
    job j = {.f32 = in, .in_h = in_h, .in_w = in_w, .c = c, .out_h = out_h, .out_w = out_w};
    return run(ctx, &j, part, antialias, out);
}

sqz_status sqz_resize_u8(sqz_ctx *ctx, const sqz_image *in, const sqz_window *part, bool antialias,
                         size_t out_h, size_t out_w, float *out)
{
    job j = {.u8 = in->pixel,
             .in_h = in->height,
             .in_w = in->width,
             .c = in->channels,
             .out_h = out_h,
             .out_w = out_w};
    return run(ctx, &j, part, antialias, out);
}
