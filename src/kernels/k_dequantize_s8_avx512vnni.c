/* dequantize_s8, 16 at a time. */
#include "kernels/kernels.h"
#include <immintrin.h>

void sqz_dequantize_s8_avx512vnni(size_t n, const int8_t *x, float scale, int32_t zero, float *y)
{
    const __m512 s = _mm512_set1_ps(scale);
    const __m512i z = _mm512_set1_epi32(zero);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = (__mmask16)(n - i >= 16 ? 0xffffu : 0xffffu >> (16 - (n - i)));
        __m512i v = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(m, x + i));
        _mm512_mask_storeu_ps(y + i, m,
                              _mm512_mul_ps(s, _mm512_cvtepi32_ps(_mm512_sub_epi32(v, z))));
    }
}
