/* avgpool_f32, 16 channels at a time, then 4, then one by one. */
#include "kernels/kernels.h"
#include <arm_neon.h>

static inline void block(const sqz_taps *w, float count, const float *x, float *y, int nv)
{
    float32x4_t sum[4], run[4];
    size_t left = SQZ_AVGPOOL_RUN;
    for (int v = 0; v < nv; v++)
        sum[v] = run[v] = vdupq_n_f32(0);
    for (size_t ky = 0; ky < w->ny; ky++, x += w->line)
        for (size_t kx = 0; kx < w->nx; kx++) {
            for (int v = 0; v < nv; v++)
                run[v] = vaddq_f32(run[v], vld1q_f32(x + kx * w->next + 4 * v));
            if (--left)
                continue;
            left = SQZ_AVGPOOL_RUN;
            for (int v = 0; v < nv; v++) {
                sum[v] = vaddq_f32(sum[v], run[v]);
                run[v] = vdupq_n_f32(0);
            }
        }
    for (int v = 0; v < nv; v++)
        vst1q_f32(y + 4 * v, vdivq_f32(vaddq_f32(sum[v], run[v]), vdupq_n_f32(count)));
}

void sqz_avgpool_f32_neondot(const sqz_taps *w, float count, const float *x, float *y)
{
    sqz_taps rest = *w;
    rest.m = 1;
    rest.n = w->n % 4;
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy) {
        size_t j = 0;
        for (; j + 16 <= w->n; j += 16)
            block(w, count, x + j, y + j, 4);
        for (; j + 4 <= w->n; j += 4)
            block(w, count, x + j, y + j, 1);
        if (rest.n)
            sqz_avgpool_f32_scalar(&rest, count, x + j, y + j);
    }
}
