/* avgpool_s8, 16 channels at a time; the last ones one by one. */
#include "kernels/requant_neon.h"

static inline void block(const sqz_taps *w, const sqz_average_s8 *a, const int8_t *x, int8_t *y)
{
    const int none = a->shift < -24; /* sqz_rt_small_to_s8 */
    const int32x4_t mult = vdupq_n_s32(none ? 0 : a->mult),
                    shift = vdupq_n_s32(none ? 0 : a->shift - 7);
    int32x4_t sum[4], tap[4];
    for (int v = 0; v < 4; v++)
        sum[v] = vdupq_n_s32(a->start);
    for (size_t ky = 0; ky < w->ny; ky++, x += w->line)
        for (size_t kx = 0; kx < w->nx; kx++) {
            widen(vld1q_s8(x + kx * w->next), tap);
            for (int v = 0; v < 4; v++)
                sum[v] = vaddq_s32(sum[v], tap[v]);
        }
    for (int v = 0; v < 4; v++)
        sum[v] = requant(vshlq_n_s32(sum[v], 7), mult, shift);
    vst1q_s8(y, pack(sum, a->zero));
}

void sqz_avgpool_s8_neondot(const sqz_taps *w, const sqz_average_s8 *a, const int8_t *x, int8_t *y)
{
    sqz_taps rest = *w;
    rest.m = 1;
    rest.n = w->n % 16;
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy) {
        size_t j = 0;
        for (; j + 16 <= w->n; j += 16)
            block(w, a, x + j, y + j);
        if (rest.n)
            sqz_avgpool_s8_scalar(&rest, a, x + j, y + j);
    }
}
