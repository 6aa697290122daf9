/* minmax_f32: vminps and vmaxps give the second operand when the first is NaN. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <math.h>

void sqz_minmax_f32_avx2(const float *x, size_t n, float *lo, float *hi)
{
    __m256 l[2], h[2];
    float a[8], b[8];
    size_t i = 0;
    l[0] = l[1] = _mm256_set1_ps(INFINITY);
    h[0] = h[1] = _mm256_set1_ps(-INFINITY);
    for (; i + 16 <= n; i += 16)
        for (size_t u = 0; u < 2; u++) {
            __m256 v = _mm256_loadu_ps(x + i + 8 * u);
            l[u] = _mm256_min_ps(v, l[u]);
            h[u] = _mm256_max_ps(v, h[u]);
        }
    _mm256_storeu_ps(a, _mm256_min_ps(l[0], l[1]));
    _mm256_storeu_ps(b, _mm256_max_ps(h[0], h[1]));
    float least = INFINITY, most = -INFINITY;
    for (size_t u = 0; u < 8; u++) {
        least = a[u] < least ? a[u] : least;
        most = b[u] > most ? b[u] : most;
    }
    for (; i < n; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    *lo = least;
    *hi = most;
}
