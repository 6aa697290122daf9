/* sqz_rt_deconv.c: transposed 2-D convolution, int8, any groups, as the sum of what reaches each
 * output: inputs iy, ix with oy = iy * stride_h - pad_top + ky * dil_h (columns likewise).
 * y[n,oy,ox,o] = s8(bias[o] + sum over ky,kx,i of (x[n,iy,ix,g*I + i] - in_zero) * w[o,ky,kx,i]),
 *   g = o / (out_c / groups), I = in_c / groups. */
#include "runtime/sqz_rt.h"
#include <stddef.h>

/* The input that reaches output o through tap k, or -1. */
static int32_t source(int32_t o, int32_t k, int32_t pad, int32_t dil, int32_t stride, int32_t in)
{
    int32_t at = o + pad - k * dil;
    return at < 0 || at % stride || at / stride >= in ? -1 : at / stride;
}

static int32_t accumulate(const sqz_rt_conv *p, const int8_t *x, const int8_t *w, int32_t oy,
                          int32_t ox, int32_t o)
{
    int32_t depth = p->in_c / p->groups, acc = 0;
    int32_t first = o / (p->out_c / p->groups) * depth; /* the first input channel of the group */
    for (int32_t ky = 0; ky < p->k_h; ky++) {
        int32_t iy = source(oy, ky, p->pad_top, p->dil_h, p->stride_h, p->in_h);
        for (int32_t kx = 0; kx < p->k_w; kx++, w += depth) {
            int32_t ix = source(ox, kx, p->pad_left, p->dil_w, p->stride_w, p->in_w);
            if (iy < 0 || ix < 0)
                continue;
            const int8_t *px = x + (((ptrdiff_t)iy * p->in_w + ix) * p->in_c + first);
            for (int32_t i = 0; i < depth; i++)
                acc += (px[i] - p->in_zero) * w[i];
        }
    }
    return acc;
}

void sqz_rt_deconv_s8(const sqz_rt_conv *p, const int8_t *x, const int8_t *w, const int32_t *bias,
                      int8_t *y)
{
    ptrdiff_t image = (ptrdiff_t)p->in_h * p->in_w * p->in_c;
    ptrdiff_t kernel = (ptrdiff_t)p->k_h * p->k_w * (p->in_c / p->groups);
    for (int32_t n = 0; n < p->n; n++, x += image)
        for (int32_t oy = 0; oy < p->out_h; oy++)
            for (int32_t ox = 0; ox < p->out_w; ox++)
                for (int32_t o = 0; o < p->out_c; o++) {
                    int32_t acc = accumulate(p, x, w + o * kernel, oy, ox, o);
                    *y++ = sqz_rt_to_s8(acc + (bias ? bias[o] : 0), p->mult[o], p->shift[o],
                                        p->out_zero, p->act_min, p->act_max);
                }
}
