/* sqz_rt_resize.c: bilinear resizing, int8, channel-last. Weights have 11 bits:
 * acc = sum of (2048 - v or v) * (2048 - u or u) * (x - in_zero) over two rows and two columns,
 * y = s8(acc), with mult and shift of s_in / (s_out * 2^22). |acc| <= 255 * 2^22. */
#include "runtime/sqz_rt.h"
#include <stddef.h>

#define ONE SQZ_RT_RESIZE_ONE

static int32_t mix(int32_t a, int32_t b, int32_t weight) { return (ONE - weight) * a + weight * b; }

void sqz_rt_resize_linear_s8(const sqz_rt_resize *p, const int8_t *x, int8_t *y)
{
    ptrdiff_t row = (ptrdiff_t)p->in_w * p->c;
    for (int32_t n = 0; n < p->n; n++, x += p->in_h * row)
        for (int32_t oy = 0; oy < p->out_h; oy++) {
            const int8_t *top = x + p->row.lo[oy] * row, *low = x + p->row.hi[oy] * row;
            for (int32_t ox = 0; ox < p->out_w; ox++) {
                ptrdiff_t l = (ptrdiff_t)p->col.lo[ox] * p->c, r = (ptrdiff_t)p->col.hi[ox] * p->c;
                for (int32_t c = 0; c < p->c; c++) {
                    int32_t a = mix(top[l + c] - p->in_zero, top[r + c] - p->in_zero,
                                    p->col.weight[ox]);
                    int32_t b = mix(low[l + c] - p->in_zero, low[r + c] - p->in_zero,
                                    p->col.weight[ox]);
                    *y++ = sqz_rt_to_s8(mix(a, b, p->row.weight[oy]), p->mult, p->shift,
                                        p->out_zero, -128, 127);
                }
            }
        }
}
