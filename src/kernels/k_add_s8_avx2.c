/* add_s8, 32 at a time, in the form of sqz_add_s8. */
#include "kernels/factor_avx2.h"
#include <string.h>

typedef struct constants {
    __m256i zero_x, high_x, low, low_and_below, half, step, scale_z, sum;
    __m128i bits;
    factor y;
} constants;

/* What x adds to t: whole steps, and the rounded rest. The upper half of the 32-bit number d is its
 * sign, 0 or -1: that times `below` is the correction of numbers below 0. */
static inline __m256i common(const constants *k, __m256i x, int wide)
{
    __m256i d = _mm256_sub_epi32(_mm256_srai_epi32(x, 24), k->zero_x);
    __m256i rest = _mm256_add_epi32(k->half, _mm256_madd_epi16(d, k->low_and_below));
    if (wide)
        rest = _mm256_add_epi32(rest, _mm256_mullo_epi32(d, k->low));
    rest = _mm256_sign_epi32(_mm256_slli_epi32(_mm256_sra_epi32(rest, k->bits), 2), k->step);
    return _mm256_add_epi32(_mm256_mullo_epi32(d, k->high_x), rest);
}

INLINE __m256i sum_of(const constants *k, __m256i x, __m256i z, int wide)
{
    __m256i r[4];
    for (int j = 0; j < 4; j++) {
        __m256i v = _mm256_sign_epi32(_mm256_slli_epi32(_mm256_srai_epi32(spread(z, j), 24), 21),
                                      k->scale_z);
        __m256i t = _mm256_add_epi32(common(k, spread(x, j), wide), _mm256_add_epi32(v, k->sum));
        r[j] = factor_apply(&k->y, t);
    }
    return factor_pack(&k->y, r);
}

INLINE void run(const constants *k, size_t n, const int8_t *x, const int8_t *z, int8_t *y, int wide)
{
    size_t i = 0;
    for (; i + 32 <= n; i += 32)
        _mm256_storeu_si256((__m256i *)(y + i),
                            sum_of(k, _mm256_loadu_si256((const __m256i *)(x + i)),
                                   _mm256_loadu_si256((const __m256i *)(z + i)), wide));
    if (i < n) {
        int8_t u[32] = {0}, v[32] = {0};
        memcpy(u, x + i, n - i);
        memcpy(v, z + i, n - i);
        _mm256_storeu_si256((__m256i *)u, sum_of(k, _mm256_loadu_si256((const __m256i *)u),
                                                 _mm256_loadu_si256((const __m256i *)v), wide));
        memcpy(y + i, u, n - i);
    }
}

void sqz_add_s8_avx2(const sqz_add_s8 *p, size_t n, const int8_t *a, const int8_t *b, int8_t *y)
{
    const int32_t words = (int32_t)((uint32_t)p->below << 16) | (p->wide ? 0 : p->low & 0xffff);
    const constants k = {.zero_x = _mm256_set1_epi32(p->zero_x),
                         .high_x = _mm256_set1_epi32(p->high_x),
                         .low = _mm256_set1_epi32(p->low),
                         .low_and_below = _mm256_set1_epi32(words),
                         .half = _mm256_set1_epi32(p->half),
                         .step = _mm256_set1_epi32(p->step),
                         .scale_z = _mm256_set1_epi32(p->scale_z),
                         .sum = _mm256_set1_epi32(p->sum),
                         .bits = _mm_cvtsi32_si128(p->bits),
                         .y = factor_of(&p->y, p->rt.zero_y)};
    if (!p->fast)
        sqz_add_s8_scalar(p, n, a, b, y);
    else if (p->wide)
        run(&k, n, p->swapped ? b : a, p->swapped ? a : b, y, 1);
    else
        run(&k, n, p->swapped ? b : a, p->swapped ? a : b, y, 0);
}
