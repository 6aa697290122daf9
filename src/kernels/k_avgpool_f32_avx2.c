/* avgpool_f32, 8 channels to a register and up to 4 registers at a time. */
#include "kernels/tile.h"
#include <immintrin.h>

/* nv registers of channels of one pixel; `whole`: all lanes, else those of the mask. */
INLINE void pixel(const sqz_taps *w, __m256 count, const float *x, float *y, int nv, int whole,
                  __m256i mask)
{
    __m256 sum[4], run[4];
    size_t left = SQZ_AVGPOOL_RUN;
    for (int v = 0; v < nv; v++)
        sum[v] = run[v] = _mm256_setzero_ps();
    for (size_t ky = 0; ky < w->ny; ky++, x += w->line)
        for (size_t kx = 0; kx < w->nx; kx++) {
            for (int v = 0; v < nv; v++) {
                const float *tap = x + kx * w->next + 8 * v;
                run[v] = _mm256_add_ps(run[v], whole ? _mm256_loadu_ps(tap)
                                                     : _mm256_maskload_ps(tap, mask));
            }
            if (--left)
                continue;
            left = SQZ_AVGPOOL_RUN;
            for (int v = 0; v < nv; v++) {
                sum[v] = _mm256_add_ps(sum[v], run[v]);
                run[v] = _mm256_setzero_ps();
            }
        }
    for (int v = 0; v < nv; v++) {
        const __m256 mean = _mm256_div_ps(_mm256_add_ps(sum[v], run[v]), count);
        if (whole)
            _mm256_storeu_ps(y + 8 * v, mean);
        else
            _mm256_maskstore_ps(y + 8 * v, mask, mean);
    }
}

void sqz_avgpool_f32_avx2(const sqz_taps *w, float count, const float *x, float *y)
{
    const __m256 k = _mm256_set1_ps(count);
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(w->n % 8)),
                                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy) {
        size_t j = 0;
        for (; j + 32 <= w->n; j += 32)
            pixel(w, k, x + j, y + j, 4, 1, mask);
        for (; j + 8 <= w->n; j += 8)
            pixel(w, k, x + j, y + j, 1, 1, mask);
        if (j < w->n)
            pixel(w, k, x + j, y + j, 1, 0, mask);
    }
}
