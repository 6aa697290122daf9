/* sqz_rt_pool.c: maximum and average over windows, int8, channel-last. */
#include "runtime/sqz_rt.h"
#include <stddef.h>

/* Taps t of k, at begin + t * dil, that lie in [lo, hi): the range [*first, *last). */
static void clip(int32_t begin, int32_t k, int32_t dil, int32_t lo, int32_t hi, int32_t *first,
                 int32_t *last)
{
    *first = 0;
    while (*first < k && begin + *first * dil < lo)
        ++*first;
    *last = *first;
    while (*last < k && begin + *last * dil < hi)
        ++*last;
}

/* One output pixel: where its window begins, and which taps are inside the image. */
typedef struct window {
    int32_t y, x, y0, y1, x0, x1;
} window;

static window window_at(const sqz_rt_pool *p, int32_t oy, int32_t ox)
{
    window v = {oy * p->stride_h - p->pad_top, ox * p->stride_w - p->pad_left, 0, 0, 0, 0};
    clip(v.y, p->k_h, p->dil_h, 0, p->in_h, &v.y0, &v.y1);
    clip(v.x, p->k_w, p->dil_w, 0, p->in_w, &v.x0, &v.x1);
    return v;
}

static int32_t pixel(const sqz_rt_pool *p, const int8_t *x, const window *v, int32_t ky, int32_t kx,
                     int32_t c)
{
    ptrdiff_t iy = v->y + ky * p->dil_h, ix = v->x + kx * p->dil_w;
    return x[(iy * p->in_w + ix) * p->c + c];
}

void sqz_rt_maxpool_s8(const sqz_rt_pool *p, const int8_t *x, int8_t *y)
{
    for (int32_t n = 0; n < p->n; n++, x += (ptrdiff_t)p->in_h * p->in_w * p->c)
        for (int32_t oy = 0; oy < p->out_h; oy++)
            for (int32_t ox = 0; ox < p->out_w; ox++) {
                window v = window_at(p, oy, ox);
                for (int32_t c = 0; c < p->c; c++) {
                    int32_t best = INT8_MIN; /* also of a window that is all padding */
                    for (int32_t ky = v.y0; ky < v.y1; ky++)
                        for (int32_t kx = v.x0; kx < v.x1; kx++) {
                            int32_t q = pixel(p, x, &v, ky, kx, c);
                            best = q > best ? q : best;
                        }
                    *y++ = (int8_t)best;
                }
            }
}

/* Taps that the divisor counts: those in the image, with count_pad those in the padding too. */
static int32_t counted(const sqz_rt_pool *p, const window *v)
{
    int32_t y0 = v->y0, y1 = v->y1, x0 = v->x0, x1 = v->x1;
    if (p->count_pad) {
        clip(v->y, p->k_h, p->dil_h, -p->pad_top, p->in_h + p->pad_bottom, &y0, &y1);
        clip(v->x, p->k_w, p->dil_w, -p->pad_left, p->in_w + p->pad_right, &x0, &x1);
    }
    return (y1 - y0) * (x1 - x0);
}

void sqz_rt_avgpool_s8(const sqz_rt_pool *p, const int8_t *x, int8_t *y)
{
    for (int32_t n = 0; n < p->n; n++, x += (ptrdiff_t)p->in_h * p->in_w * p->c)
        for (int32_t oy = 0; oy < p->out_h; oy++)
            for (int32_t ox = 0; ox < p->out_w; ox++) {
                window v = window_at(p, oy, ox);
                int32_t k = counted(p, &v);
                for (int32_t c = 0; c < p->c; c++) {
                    int32_t acc = 0;
                    for (int32_t ky = v.y0; ky < v.y1; ky++)
                        for (int32_t kx = v.x0; kx < v.x1; kx++)
                            acc += pixel(p, x, &v, ky, kx, c) - p->in_zero;
                    *y++ = k ? sqz_rt_small_to_s8(acc, p->mult[k - 1], p->shift[k - 1], p->out_zero,
                                                  INT8_MIN, INT8_MAX)
                             : (int8_t)p->out_zero;
                }
            }
}
