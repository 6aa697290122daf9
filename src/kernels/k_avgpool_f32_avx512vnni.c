/* avgpool_f32, 16 channels to a register and up to 4 registers at a time. */
#include "kernels/tile.h"
#include <immintrin.h>

INLINE void pixel(const sqz_taps *w, __m512 count, const float *x, float *y, int nv, __mmask16 last)
{
    __m512 sum[4], run[4];
    size_t left = SQZ_AVGPOOL_RUN;
    for (int v = 0; v < nv; v++)
        sum[v] = run[v] = _mm512_setzero_ps();
    for (size_t ky = 0; ky < w->ny; ky++, x += w->line)
        for (size_t kx = 0; kx < w->nx; kx++) {
            for (int v = 0; v < nv; v++)
                run[v] = _mm512_add_ps(run[v], _mm512_maskz_loadu_ps(v == nv - 1 ? last : 0xffff,
                                                                     x + kx * w->next + 16 * v));
            if (--left)
                continue;
            left = SQZ_AVGPOOL_RUN;
            for (int v = 0; v < nv; v++) {
                sum[v] = _mm512_add_ps(sum[v], run[v]);
                run[v] = _mm512_setzero_ps();
            }
        }
    for (int v = 0; v < nv; v++)
        _mm512_mask_storeu_ps(y + 16 * v, v == nv - 1 ? last : 0xffff,
                              _mm512_div_ps(_mm512_add_ps(sum[v], run[v]), count));
}

void sqz_avgpool_f32_avx512vnni(const sqz_taps *w, float count, const float *x, float *y)
{
    const __m512 k = _mm512_set1_ps(count);
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy) {
        size_t j = 0;
        for (; j + 64 <= w->n; j += 64)
            pixel(w, k, x + j, y + j, 4, 0xffff);
        for (; j < w->n; j += 16)
            pixel(w, k, x + j, y + j, 1,
                  (__mmask16)(w->n - j >= 16 ? 0xffffu : 0xffffu >> (16 - (w->n - j))));
    }
}
