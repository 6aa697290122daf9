/* maxpool_s8, 16 channels at a time, then 8, then one by one. */
#include "kernels/kernels.h"
#include <arm_neon.h>

static inline void sixteen(const sqz_taps *w, const int8_t *x, int8_t *y)
{
    int8x16_t best = vdupq_n_s8(INT8_MIN);
    for (size_t ky = 0; ky < w->ny; ky++, x += w->line)
        for (size_t kx = 0; kx < w->nx; kx++)
            best = vmaxq_s8(best, vld1q_s8(x + kx * w->next));
    vst1q_s8(y, best);
}

static inline void eight(const sqz_taps *w, const int8_t *x, int8_t *y)
{
    int8x8_t best = vdup_n_s8(INT8_MIN);
    for (size_t ky = 0; ky < w->ny; ky++, x += w->line)
        for (size_t kx = 0; kx < w->nx; kx++)
            best = vmax_s8(best, vld1_s8(x + kx * w->next));
    vst1_s8(y, best);
}

void sqz_maxpool_s8_neondot(const sqz_taps *w, const int8_t *x, int8_t *y)
{
    sqz_taps rest = *w;
    rest.m = 1;
    rest.n = w->n % 8;
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy) {
        size_t j = 0;
        for (; j + 16 <= w->n; j += 16)
            sixteen(w, x + j, y + j);
        for (; j + 8 <= w->n; j += 8)
            eight(w, x + j, y + j);
        if (rest.n)
            sqz_maxpool_s8_scalar(&rest, x + j, y + j);
    }
}
