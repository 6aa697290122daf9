/* add_s8, 64 at a time, in the form of sqz_add_s8. */
#include "kernels/factor_avx512.h"
#include <string.h>

typedef struct constants {
    __m512i zero_x, high_x, low, low_and_below, half, step, scale_z, sum;
    __m128i bits;
    factor y;
} constants;

/* What x adds to t: whole steps, and the rounded rest. The upper half of the 32-bit number d is its
 * sign, 0 or -1: that times `below` is the correction of numbers below 0. */
static inline __m512i common(const constants *k, __m512i x, int wide)
{
    __m512i d = _mm512_sub_epi32(_mm512_srai_epi32(x, 24), k->zero_x);
    __m512i rest = _mm512_dpwssd_epi32(k->half, d, k->low_and_below);
    if (wide)
        rest = _mm512_add_epi32(rest, _mm512_mullo_epi32(d, k->low));
    rest = _mm512_mullo_epi32(_mm512_sra_epi32(rest, k->bits), k->step);
    return _mm512_add_epi32(_mm512_mullo_epi32(d, k->high_x), rest);
}

INLINE __m512i sum_of(const constants *k, __m512i x, __m512i z, int wide)
{
    __m512i r[4];
    for (int j = 0; j < 4; j++) {
        __m512i v = _mm512_mullo_epi32(_mm512_srai_epi32(spread(z, j), 24), k->scale_z);
        __m512i t = _mm512_add_epi32(common(k, spread(x, j), wide), _mm512_add_epi32(v, k->sum));
        r[j] = factor_apply(&k->y, t);
    }
    return factor_pack(&k->y, r);
}

INLINE void run(const constants *k, size_t n, const int8_t *x, const int8_t *z, int8_t *y, int wide)
{
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
        _mm512_storeu_si512(y + i,
                            sum_of(k, _mm512_loadu_si512(x + i), _mm512_loadu_si512(z + i), wide));
    if (i < n) {
        __mmask64 m = first_of_64(n - i);
        __m512i last = sum_of(k, _mm512_maskz_loadu_epi8(m, x + i),
                              _mm512_maskz_loadu_epi8(m, z + i), wide);
        _mm512_mask_storeu_epi8(y + i, m, last);
    }
}

/* 16 codes in float. */
INLINE __m512 real(const int8_t *x)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)x)));
}

/* 64 results: narrowed four by four, in each 128 bits four of each 16, then put in order. */
INLINE __m512i sum_in_float(const sqz_add_s8 *p, const int8_t *a, const int8_t *b)
{
    const __m512 by_a = _mm512_set1_ps(p->by_a), by_b = _mm512_set1_ps(p->by_b);
    const __m512 more = _mm512_set1_ps(p->more);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i r[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const __m512 v = _mm512_fmadd_ps(real(b + 16 * j), by_b, more);
        r[j] = _mm512_cvtps_epi32(_mm512_fmadd_ps(real(a + 16 * j), by_a, v));
    }
    const __m512i low = _mm512_packs_epi32(r[0], r[1]), high = _mm512_packs_epi32(r[2], r[3]);
    return _mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high));
}

static void run_in_float(const sqz_add_s8 *p, size_t n, const int8_t *a, const int8_t *b, int8_t *y)
{
    const sqz_add_s8 q = *p; /* stores to y cannot change it */
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
        _mm512_storeu_si512(y + i, sum_in_float(&q, a + i, b + i));
    if (i < n) {
        int8_t u[64] = {0}, v[64] = {0};
        memcpy(u, a + i, n - i);
        memcpy(v, b + i, n - i);
        _mm512_mask_storeu_epi8(y + i, first_of_64(n - i), sum_in_float(&q, u, v));
    }
}

void sqz_add_s8_avx512vnni(const sqz_add_s8 *p, size_t n, const int8_t *a, const int8_t *b,
                           int8_t *y)
{
    const int32_t words = (int32_t)((uint32_t)p->below << 16) | (p->wide ? 0 : p->low & 0xffff);
    const constants k = {.zero_x = _mm512_set1_epi32(p->zero_x),
                         .high_x = _mm512_set1_epi32(p->high_x),
                         .low = _mm512_set1_epi32(p->low),
                         .low_and_below = _mm512_set1_epi32(words),
                         .half = _mm512_set1_epi32(p->half),
                         .step = _mm512_set1_epi32(p->step),
                         .scale_z = _mm512_set1_epi32(p->scale_z),
                         .sum = _mm512_set1_epi32(p->sum),
                         .bits = _mm_cvtsi32_si128(p->bits),
                         .y = factor_of(&p->y, p->rt.zero_y)};
    if (p->real)
        run_in_float(p, n, a, b, y);
    else if (!p->fast)
        sqz_add_s8_scalar(p, n, a, b, y);
    else if (p->wide)
        run(&k, n, p->swapped ? b : a, p->swapped ? a : b, y, 1);
    else
        run(&k, n, p->swapped ? b : a, p->swapped ? a : b, y, 0);
}
