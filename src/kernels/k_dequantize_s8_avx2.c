/* dequantize_s8, 8 at a time. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

static inline __m256 real(int64_t codes, __m256i z, __m256 s)
{
    __m256i v = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(codes));
    return _mm256_mul_ps(s, _mm256_cvtepi32_ps(_mm256_sub_epi32(v, z)));
}

void sqz_dequantize_s8_avx2(size_t n, const int8_t *x, float scale, int32_t zero, float *y)
{
    const __m256 s = _mm256_set1_ps(scale);
    const __m256i z = _mm256_set1_epi32(zero);
    int64_t codes = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&codes, x + i, 8);
        _mm256_storeu_ps(y + i, real(codes, z, s));
    }
    if (i < n) {
        float last[8];
        codes = 0;
        memcpy(&codes, x + i, n - i);
        _mm256_storeu_ps(last, real(codes, z, s));
        memcpy(y + i, last, (n - i) * sizeof *last);
    }
}
