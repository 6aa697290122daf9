/* quantize_s8, 8 at a time: vcvtps2dq rounds half to even under the default rounding mode. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

void sqz_quantize_s8_avx2(size_t n, const float *x, float scale, int32_t zero, int8_t *q)
{
    const __m256 lo = _mm256_set1_ps((float)(-128 - zero)),
                 hi = _mm256_set1_ps((float)(127 - zero)), s = _mm256_set1_ps(scale);
    const __m256i z = _mm256_set1_epi32(zero);
    for (size_t i = 0; i < n; i += 8) {
        float part[8] = {0};
        size_t cols = n - i < 8 ? n - i : 8;
        if (cols < 8)
            memcpy(part, x + i, cols * sizeof *part);
        __m256 v = _mm256_div_ps(_mm256_loadu_ps(cols < 8 ? part : x + i), s);
        v = _mm256_and_ps(v, _mm256_cmp_ps(v, v, _CMP_ORD_Q)); /* NaN to 0 */
        v = _mm256_min_ps(_mm256_max_ps(v, lo), hi);
        __m256i w = _mm256_add_epi32(_mm256_cvtps_epi32(v), z);
        __m128i s16 = _mm_packs_epi32(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
        int64_t s8 = _mm_cvtsi128_si64(_mm_packs_epi16(s16, s16));
        memcpy(q + i, &s8, cols);
    }
}
