/* scan_f32, eight numbers at a time; the last ones as the scalar form does. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <math.h>

int sqz_scan_f32_avx2(const float *x, size_t n, float limit, float *lo, float *hi, uint64_t *zeros)
{
    const __m256 most = _mm256_set1_ps(limit), sign = _mm256_set1_ps(-0.0f);
    __m256 l = _mm256_set1_ps(INFINITY), h = _mm256_set1_ps(-INFINITY);
    __m256i good = _mm256_set1_epi32(-1);
    uint64_t none = 0, none_left;
    float a[8], b[8], least, greatest;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 v = _mm256_loadu_ps(x + i);
        const __m256 fits = _mm256_cmp_ps(_mm256_andnot_ps(sign, v), most, _CMP_LE_OQ);
        const __m256 zero = _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_EQ_OQ);
        l = _mm256_min_ps(v, l);
        h = _mm256_max_ps(v, h);
        good = _mm256_and_si256(good, _mm256_castps_si256(fits));
        none += (unsigned)__builtin_popcount((unsigned)_mm256_movemask_ps(zero));
    }
    _mm256_storeu_ps(a, l);
    _mm256_storeu_ps(b, h);
    int rest = sqz_scan_f32_scalar(x + i, n - i, limit, &least, &greatest, &none_left);
    for (size_t k = 0; k < 8; k++) {
        least = a[k] < least ? a[k] : least;
        greatest = b[k] > greatest ? b[k] : greatest;
    }
    *lo = least + 0.0f;
    *hi = greatest + 0.0f;
    *zeros = none + none_left;
    return rest && _mm256_movemask_epi8(good) == -1;
}
