/* avgpool_s8, 64 channels at a time; sums are 32 bits, the last channels masked. */
#include "kernels/factor_avx512.h"

static inline __m512i block(const sqz_taps *w, const factor *f, __m512i start, const int8_t *x,
                            __mmask64 m)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i sum[4] = {start, start, start, start};
    for (size_t ky = 0; ky < w->ny; ky++, x += w->line)
        for (size_t kx = 0; kx < w->nx; kx++)
            for (int v = 0; v < 4; v++) {
                const __m128i tap = _mm_maskz_loadu_epi8((__mmask16)(m >> 16 * v),
                                                         x + kx * w->next + 16 * v);
                sum[v] = _mm512_add_epi32(sum[v], _mm512_cvtepi8_epi32(tap));
            }
    for (int v = 0; v < 4; v++)
        sum[v] = factor_apply(f, _mm512_slli_epi32(sum[v], 9));
    return _mm512_permutexvar_epi32(order, factor_pack(f, sum));
}

void sqz_avgpool_s8_avx512vnni(const sqz_taps *w, const sqz_average_s8 *a, const int8_t *x,
                               int8_t *y)
{
    const factor f = factor_of(&a->f, a->zero);
    const __m512i start = _mm512_set1_epi32(a->start);
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy)
        for (size_t j = 0; j < w->n; j += 64) {
            const __mmask64 m = first_of_64(w->n - j);
            _mm512_mask_storeu_epi8(y + j, m, block(w, &f, start, x + j, m));
        }
}
