/* dwconv_f32, 8 channels at a time over all taps; the last few through masked loads. */
#include "kernels/kernels.h"
#include <immintrin.h>

void sqz_dwconv_f32_avx2(size_t n, size_t taps, const float *const *x, const float *const *w,
                         const float *bias, float *y)
{
    for (size_t j = 0; j < n; j += 8) {
        size_t left = n - j < 8 ? n - j : 8;
        __m256i in = _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)left),
                                        _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        __m256 acc = bias ? _mm256_maskload_ps(bias + j, in) : _mm256_setzero_ps();
        for (size_t t = 0; t < taps; t++)
            acc = _mm256_fmadd_ps(_mm256_maskload_ps(x[t] + j, in),
                                  _mm256_maskload_ps(w[t] + j, in), acc);
        _mm256_maskstore_ps(y + j, in, acc);
    }
}
