/* scan_f32, sixteen numbers at a time. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <math.h>

int sqz_scan_f32_avx512vnni(const float *x, size_t n, float limit, float *lo, float *hi,
                            uint64_t *zeros)
{
    const __m512 most = _mm512_set1_ps(limit);
    __m512 l = _mm512_set1_ps(INFINITY), h = _mm512_set1_ps(-INFINITY);
    uint64_t none = 0;
    unsigned bad = 0;
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = (__mmask16)(n - i >= 16 ? 0xffffu : 0xffffu >> (16 - (n - i)));
        const __m512 v = _mm512_maskz_loadu_ps(m, x + i);
        l = _mm512_mask_min_ps(l, m, v, l);
        h = _mm512_mask_max_ps(h, m, v, h);
        bad |= (unsigned)_mm512_cmp_ps_mask(_mm512_abs_ps(v), most, _CMP_NLE_UQ);
        none += (unsigned)__builtin_popcount(
            _mm512_mask_cmp_ps_mask(m, v, _mm512_setzero_ps(), _CMP_EQ_OQ));
    }
    *lo = _mm512_reduce_min_ps(l) + 0.0f;
    *hi = _mm512_reduce_max_ps(h) + 0.0f;
    *zeros = none;
    return bad == 0;
}
