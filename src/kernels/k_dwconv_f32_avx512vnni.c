/* dwconv_f32, 16 channels at a time over all taps; the last few through masks. */
#include "kernels/kernels.h"
#include <immintrin.h>

void sqz_dwconv_f32_avx512vnni(size_t n, size_t taps, const float *const *x, const float *const *w,
                               const float *bias, float *y)
{
    for (size_t j = 0; j < n; j += 16) {
        __mmask16 m = (__mmask16)(n - j >= 16 ? 0xffffu : 0xffffu >> (16 - (n - j)));
        __m512 acc = bias ? _mm512_maskz_loadu_ps(m, bias + j) : _mm512_setzero_ps();
        for (size_t t = 0; t < taps; t++)
            acc = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, x[t] + j),
                                  _mm512_maskz_loadu_ps(m, w[t] + j), acc);
        _mm512_mask_storeu_ps(y + j, m, acc);
    }
}
