/* mul_s8, 64 at a time: t = 512 * (a - zero_a) * (b - zero_b), then the factor. */
#include "kernels/factor_avx512.h"

typedef struct constants {
    __m512i zero_a, zero_b;
    factor y;
} constants;

static inline __m512i product(const constants *k, __m512i a, __m512i b)
{
    __m512i r[4];
    for (int j = 0; j < 4; j++) {
        __m512i u = _mm512_sub_epi32(_mm512_srai_epi32(spread(a, j), 24 - 9), k->zero_a);
        __m512i v = _mm512_sub_epi32(_mm512_srai_epi32(spread(b, j), 24), k->zero_b);
        r[j] = factor_apply(&k->y, _mm512_mullo_epi32(u, v));
    }
    return factor_pack(&k->y, r);
}

void sqz_mul_s8_avx512vnni(const sqz_mul_s8 *p, size_t n, const int8_t *a, const int8_t *b,
                           int8_t *y)
{
    const constants k = {.zero_a = _mm512_set1_epi32(p->rt.zero_a * 512),
                         .zero_b = _mm512_set1_epi32(p->rt.zero_b),
                         .y = factor_of(&p->y, p->rt.zero_y)};
    size_t i = 0;
    if (!p->fast) {
        sqz_mul_s8_scalar(p, n, a, b, y);
        return;
    }
    for (; i + 64 <= n; i += 64)
        _mm512_storeu_si512(y + i,
                            product(&k, _mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i)));
    if (i < n) {
        __mmask64 m = first_of_64(n - i);
        _mm512_mask_storeu_epi8(
            y + i, m,
            product(&k, _mm512_maskz_loadu_epi8(m, a + i), _mm512_maskz_loadu_epi8(m, b + i)));
    }
}
