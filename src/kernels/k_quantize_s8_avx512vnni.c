/* quantize_s8, 16 at a time: vcvtps2dq rounds half to even under the default rounding mode. */
#include "kernels/kernels.h"
#include <immintrin.h>

void sqz_quantize_s8_avx512vnni(size_t n, const float *x, float scale, int32_t zero, int8_t *q)
{
    const __m512 lo = _mm512_set1_ps((float)(-128 - zero)),
                 hi = _mm512_set1_ps((float)(127 - zero)), s = _mm512_set1_ps(scale);
    const __m512i z = _mm512_set1_epi32(zero);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = (__mmask16)(n - i >= 16 ? 0xffffu : 0xffffu >> (16 - (n - i)));
        __m512 v = _mm512_div_ps(_mm512_maskz_loadu_ps(m, x + i), s);
        v = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), v); /* NaN to 0 */
        v = _mm512_min_ps(_mm512_max_ps(v, lo), hi);
        _mm512_mask_cvtepi32_storeu_epi8(q + i, m, _mm512_add_epi32(_mm512_cvtps_epi32(v), z));
    }
}
