/* mul_s8, 32 at a time: t = 512 * (a - zero_a) * (b - zero_b), then the factor. */
#include "kernels/factor_avx2.h"
#include <string.h>

typedef struct constants {
    __m256i zero_a, zero_b;
    factor y;
} constants;

static inline __m256i product(const constants *k, const int8_t *a, const int8_t *b)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)a),
                  z = _mm256_loadu_si256((const __m256i *)b);
    __m256i r[4];
    for (int j = 0; j < 4; j++) {
        __m256i u = _mm256_sub_epi32(_mm256_srai_epi32(spread(x, j), 24 - 9), k->zero_a);
        __m256i v = _mm256_sub_epi32(_mm256_srai_epi32(spread(z, j), 24), k->zero_b);
        r[j] = factor_apply(&k->y, _mm256_mullo_epi32(u, v));
    }
    return factor_pack(&k->y, r);
}

void sqz_mul_s8_avx2(const sqz_mul_s8 *p, size_t n, const int8_t *a, const int8_t *b, int8_t *y)
{
    const constants k = {.zero_a = _mm256_set1_epi32(p->rt.zero_a * 512),
                         .zero_b = _mm256_set1_epi32(p->rt.zero_b),
                         .y = factor_of(&p->y, p->rt.zero_y)};
    size_t i = 0;
    if (!p->fast) {
        sqz_mul_s8_scalar(p, n, a, b, y);
        return;
    }
    for (; i + 32 <= n; i += 32)
        _mm256_storeu_si256((__m256i *)(y + i), product(&k, a + i, b + i));
    if (i < n) {
        int8_t u[32] = {0}, v[32] = {0};
        memcpy(u, a + i, n - i);
        memcpy(v, b + i, n - i);
        _mm256_storeu_si256((__m256i *)u, product(&k, u, v));
        memcpy(y + i, u, n - i);
    }
}
