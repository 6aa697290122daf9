/* block_rows: 8 floats at a time, the last ones under a mask. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

static __m256 load(const float *x, size_t n)
{
    if (n >= 8)
        return _mm256_loadu_ps(x);
    const __m256i at = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_ps(x, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), at));
}

/* The bits of |x| are in the order of |x|, NaN above all. */
static float magnitude(size_t n, const float *x)
{
    __m256i most = _mm256_setzero_si256();
    uint32_t all[8], bits = 0;
    for (size_t i = 0; i < n; i += 8)
        most = _mm256_max_epu32(most, _mm256_and_si256(_mm256_castps_si256(load(x + i, n - i)),
                                                       _mm256_set1_epi32(0x7fffffff)));
    _mm256_storeu_si256((__m256i *)(void *)all, most);
    for (size_t i = 0; i < 8; i++)
        bits = all[i] > bits ? all[i] : bits;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

void sqz_block_rows_avx2(size_t k, size_t block, const float *x, int8_t *q, float *scale,
                         int32_t *less)
{
    for (size_t from = 0; from < k; from += block, x += block, q += block, scale++, less++) {
        const size_t n = k - from < block ? k - from : block;
        const float s = magnitude(n, x) / 127.0f;
        __m256i sum = _mm256_setzero_si256();
        int32_t all[8];
        *scale = s;
        memset(q, 0, block);
        for (size_t i = 0; s > 0 && s < INFINITY && i < n; i += 8) { /* 0 beyond n */
            __m256i v = _mm256_cvtps_epi32(_mm256_div_ps(load(x + i, n - i), _mm256_set1_ps(s)));
            v = _mm256_max_epi32(v, _mm256_set1_epi32(-127));
            v = _mm256_min_epi32(v, _mm256_set1_epi32(127));
            sum = _mm256_add_epi32(sum, v);
            const __m128i p = _mm_packs_epi32(_mm256_castsi256_si128(v),
                                              _mm256_extracti128_si256(v, 1));
            _mm_storel_epi64((__m128i *)(void *)(q + i), _mm_packs_epi16(p, p));
        }
        _mm256_storeu_si256((__m256i *)(void *)all, sum);
        *less = 0;
        for (size_t i = 0; i < 8; i++)
            *less -= all[i];
    }
}
