/* maxpool_f32, 16 channels at a time, then 4, then one by one. The first of equal taps stays, so
 * that +0 does not take the place of -0; a NaN is never greater and is looked for apart. */
#include "kernels/kernels.h"
#include <arm_neon.h>
#include <math.h>

static inline void block(const sqz_taps *w, const float *x, float *y, int nv)
{
    float32x4_t best[4];
    uint32x4_t real[4];
    for (int v = 0; v < nv; v++) {
        best[v] = vdupq_n_f32(-INFINITY);
        real[v] = vdupq_n_u32(UINT32_MAX);
    }
    for (size_t ky = 0; ky < w->ny; ky++, x += w->line)
        for (size_t kx = 0; kx < w->nx; kx++)
            for (int v = 0; v < nv; v++) {
                const float32x4_t tap = vld1q_f32(x + kx * w->next + 4 * v);
                best[v] = vbslq_f32(vcgtq_f32(tap, best[v]), tap, best[v]);
                real[v] = vandq_u32(real[v], vceqq_f32(tap, tap));
            }
    for (int v = 0; v < nv; v++)
        vst1q_f32(y + 4 * v, vbslq_f32(real[v], best[v], vdupq_n_f32(NAN)));
}

void sqz_maxpool_f32_neondot(const sqz_taps *w, const float *x, float *y)
{
    sqz_taps rest = *w;
    rest.m = 1;
    rest.n = w->n % 4;
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy) {
        size_t j = 0;
        for (; j + 16 <= w->n; j += 16)
            block(w, x + j, y + j, 4);
        for (; j + 4 <= w->n; j += 4)
            block(w, x + j, y + j, 1);
        if (rest.n)
            sqz_maxpool_f32_scalar(&rest, x + j, y + j);
    }
}
