/* lut_s8, 64 at a time. The table is 128 words in four registers: a permutation of two of them
 * looks up 64 words by 6 bits, bit 7 of the code picks the pair of registers, bit 0 the byte of the
 * word. */
#include "kernels/kernels.h"
#include <immintrin.h>

typedef struct table {
    __m512i t[4];
} table;

/* Words of the table for the codes in bits 1..7 of `index`; `neg`: codes below 0, in the first
 * half. */
static inline __m512i words(const table *t, __m512i index, __mmask32 neg)
{
    __m512i up = _mm512_permutex2var_epi16(t->t[2], index, t->t[3]);
    return _mm512_mask_mov_epi16(up, neg, _mm512_permutex2var_epi16(t->t[0], index, t->t[1]));
}

static inline __m512i look_up(const table *t, __m512i v)
{
    __m512i low = words(t, _mm512_srli_epi16(v, 1), _mm512_movepi16_mask(_mm512_slli_epi16(v, 8)));
    __m512i high = words(t, _mm512_srli_epi16(v, 9), _mm512_movepi16_mask(v));
    __mmask32 odd = _mm512_test_epi16_mask(v, _mm512_set1_epi16(1));
    __mmask32 even = _mm512_testn_epi16_mask(v, _mm512_set1_epi16(256));
    low = _mm512_mask_srli_epi16(low, odd, low, 8);
    high = _mm512_mask_slli_epi16(high, even, high, 8);
    return _mm512_ternarylogic_epi32(_mm512_set1_epi16(255), low, high, 0xca); /* a ? b : c */
}

void sqz_lut_s8_avx512vnni(const int8_t t256[256], size_t n, const int8_t *x, int8_t *y)
{
    const table t = {{_mm512_loadu_si512(t256), _mm512_loadu_si512(t256 + 64),
                      _mm512_loadu_si512(t256 + 128), _mm512_loadu_si512(t256 + 192)}};
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
        _mm512_storeu_si512(y + i, look_up(&t, _mm512_loadu_si512(x + i)));
    if (i < n) {
        __mmask64 m = ~(__mmask64)0 >> (64 - (n - i));
        _mm512_mask_storeu_epi8(y + i, m, look_up(&t, _mm512_maskz_loadu_epi8(m, x + i)));
    }
}
