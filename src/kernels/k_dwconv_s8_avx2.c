/* dwconv_s8: as gemm_s8 for AVX2, products of 16-bit pairs, with the rows of 4 taps interleaved on
 * the fly. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

#define GROUP (4 * SQZ_PANEL)

/* 16 channels of tap t, zeros beyond the last channel and the last tap. */
static inline __m128i row(const int8_t *const *x, size_t t, size_t taps, size_t j, size_t cols)
{
    int8_t tail[SQZ_PANEL] = {0};
    if (t >= taps)
        return _mm_setzero_si128();
    if (cols == SQZ_PANEL)
        return _mm_loadu_si128((const __m128i *)(const void *)(x[t] + j));
    memcpy(tail, x[t] + j, cols);
    return _mm_loadu_si128((const __m128i *)(const void *)tail);
}

/* 4 channels x 4 taps: sums of two products each. */
static inline __m256i pairs(__m128i x, const int8_t *w)
{
    return _mm256_madd_epi16(_mm256_cvtepi8_epi16(x), _mm256_cvtepi8_epi16(_mm_loadu_si128(
                                                          (const __m128i *)(const void *)w)));
}

static inline __m256i halves(__m256i a, __m256i b)
{
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), _MM_SHUFFLE(3, 1, 2, 0));
}

void sqz_dwconv_s8_avx2(const sqz_packed_v1 *p, const int8_t *const *x, int32_t *c)
{
    const size_t n = p->n, taps = p->k;
    const int8_t *w = p->data;
    for (size_t j = 0; j < n; j += SQZ_PANEL) {
        size_t cols = n - j < SQZ_PANEL ? n - j : SQZ_PANEL;
        __m256i a0 = _mm256_setzero_si256(), a1 = a0, a2 = a0, a3 = a0;
        int32_t y[SQZ_PANEL];
        w += GROUP; /* the sums are not needed here */
        for (size_t t = 0; t < taps; t += 4, w += GROUP) {
            __m128i r0 = row(x, t, taps, j, cols), r1 = row(x, t + 1, taps, j, cols);
            __m128i r2 = row(x, t + 2, taps, j, cols), r3 = row(x, t + 3, taps, j, cols);
            __m128i lo01 = _mm_unpacklo_epi8(r0, r1), hi01 = _mm_unpackhi_epi8(r0, r1);
            __m128i lo23 = _mm_unpacklo_epi8(r2, r3), hi23 = _mm_unpackhi_epi8(r2, r3);
            a0 = _mm256_add_epi32(a0, pairs(_mm_unpacklo_epi16(lo01, lo23), w));
            a1 = _mm256_add_epi32(a1, pairs(_mm_unpackhi_epi16(lo01, lo23), w + 16));
            a2 = _mm256_add_epi32(a2, pairs(_mm_unpacklo_epi16(hi01, hi23), w + 32));
            a3 = _mm256_add_epi32(a3, pairs(_mm_unpackhi_epi16(hi01, hi23), w + 48));
        }
        _mm256_storeu_si256((__m256i *)(void *)y, halves(a0, a1));
        _mm256_storeu_si256((__m256i *)(void *)(y + 8), halves(a2, a3));
        memcpy(c + j, y, cols * sizeof *y);
    }
}
