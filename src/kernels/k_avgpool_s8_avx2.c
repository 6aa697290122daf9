/* avgpool_s8, 32 channels at a time; the last ones from copies of their taps. */
#include "kernels/factor_avx2.h"
#include <string.h>

static inline __m256i block(const sqz_taps *w, const factor *f, __m256i start, const int8_t *x,
                            size_t n)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i sum[4] = {start, start, start, start};
    int8_t some[32] = {0};
    for (size_t ky = 0; ky < w->ny; ky++, x += w->line)
        for (size_t kx = 0; kx < w->nx; kx++) {
            const int8_t *tap = x + kx * w->next;
            if (n < 32)
                tap = memcpy(some, tap, n);
            for (int v = 0; v < 4; v++)
                sum[v] = _mm256_add_epi32(
                    sum[v], _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(tap + 8 * v))));
        }
    for (int v = 0; v < 4; v++)
        sum[v] = factor_apply(f, _mm256_slli_epi32(sum[v], 9));
    return _mm256_permutevar8x32_epi32(factor_pack(f, sum), order);
}

void sqz_avgpool_s8_avx2(const sqz_taps *w, const sqz_average_s8 *a, const int8_t *x, int8_t *y)
{
    const factor f = factor_of(&a->f, a->zero);
    const __m256i start = _mm256_set1_epi32(a->start);
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy)
        for (size_t j = 0; j < w->n; j += 32) {
            const size_t n = w->n - j < 32 ? w->n - j : 32;
            int8_t out[32];
            _mm256_storeu_si256((__m256i *)out, block(w, &f, start, x + j, n));
            memcpy(y + j, out, n);
        }
}
