/* minmax_f32: vminps and vmaxps give the second operand when the first is NaN. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <math.h>

void sqz_minmax_f32_avx512vnni(const float *x, size_t n, float *lo, float *hi)
{
    __m512 l[2], h[2];
    size_t i = 0;
    l[0] = l[1] = _mm512_set1_ps(INFINITY);
    h[0] = h[1] = _mm512_set1_ps(-INFINITY);
    for (; i + 32 <= n; i += 32)
        for (size_t u = 0; u < 2; u++) {
            __m512 v = _mm512_loadu_ps(x + i + 16 * u);
            l[u] = _mm512_min_ps(v, l[u]);
            h[u] = _mm512_max_ps(v, h[u]);
        }
    for (; i < n; i += 16) {
        __mmask16 m = (__mmask16)(n - i >= 16 ? 0xffffu : 0xffffu >> (16 - (n - i)));
        __m512 v = _mm512_maskz_loadu_ps(m, x + i);
        l[0] = _mm512_mask_min_ps(l[0], m, v, l[0]);
        h[0] = _mm512_mask_max_ps(h[0], m, v, h[0]);
    }
    *lo = _mm512_reduce_min_ps(_mm512_min_ps(l[0], l[1]));
    *hi = _mm512_reduce_max_ps(_mm512_max_ps(h[0], h[1]));
}
