/* requant_s8, 16 columns at a time; the steps are those of sqz_rt_requant.c. */
#include "kernels/kernels.h"
#include <immintrin.h>

/* v * 2^s, saturating; s >= 0. */
static inline __m512i shift_left(__m512i v, __m512i s)
{
    __m512i up = _mm512_sllv_epi32(v, s);
    __mmask16 lost = _mm512_cmpneq_epi32_mask(_mm512_srav_epi32(up, s), v);
    __m512i limit = _mm512_xor_si512(_mm512_srai_epi32(v, 31), _mm512_set1_epi32(INT32_MAX));
    return _mm512_mask_mov_epi32(up, lost, limit);
}

/* High half of 2 * v * mult, halves up: even and odd lanes in 64 bits. */
static inline __m512i high(__m512i v, __m512i mult)
{
    const __m512i half = _mm512_set1_epi64((int64_t)1 << 30);
    __m512i even = _mm512_add_epi64(_mm512_mul_epi32(v, mult), half);
    __m512i odd = _mm512_add_epi64(
        _mm512_mul_epi32(_mm512_srli_epi64(v, 32), _mm512_srli_epi64(mult, 32)), half);
    return _mm512_mask_mov_epi32(_mm512_srli_epi64(even, 31), 0xaaaa, _mm512_slli_epi64(odd, 1));
}

/* round(v / 2^s), halves away from zero; mask = 2^s - 1. */
static inline __m512i shift_right(__m512i v, __m512i s, __m512i mask)
{
    __m512i rest = _mm512_and_si512(v, mask);
    __m512i half = _mm512_sub_epi32(_mm512_srli_epi32(mask, 1), _mm512_srai_epi32(v, 31));
    __mmask16 up = _mm512_cmpgt_epu32_mask(rest, half);
    __m512i down = _mm512_srav_epi32(v, s);
    return _mm512_mask_sub_epi32(down, up, down, _mm512_set1_epi32(-1));
}

void sqz_requant_s8_avx512vnni(const sqz_requant *p, size_t m, const int32_t *acc, int8_t *y,
                               size_t ldy)
{
    const size_t n = p->n;
    const __m512i none = _mm512_setzero_si512(), z = _mm512_set1_epi32(p->zero);
    const __m512i least = _mm512_set1_epi32(p->lo - p->zero),
                  most = _mm512_set1_epi32(p->hi - p->zero);
    for (size_t c = 0; c < n; c += 16) {
        __mmask16 in = (__mmask16)(n - c >= 16 ? 0xffffu : 0xffffu >> (16 - (n - c)));
        __m512i b = _mm512_maskz_loadu_epi32(in, p->bias + c);
        __m512i f = _mm512_maskz_loadu_epi32(in, p->mult + c);
        __m512i s = _mm512_maskz_loadu_epi32(in, p->shift + c);
        __m512i left = _mm512_max_epi32(s, none);
        __m512i right = _mm512_max_epi32(_mm512_sub_epi32(none, s), none);
        __m512i mask = _mm512_sub_epi32(_mm512_sllv_epi32(_mm512_set1_epi32(1), right),
                                        _mm512_set1_epi32(1));
        __mmask16 any_left = _mm512_cmpgt_epi32_mask(s, none);
        for (size_t i = 0; i < m; i++) {
            __m512i v = _mm512_add_epi32(_mm512_maskz_loadu_epi32(in, acc + i * n + c), b);
            if (any_left)
                v = shift_left(v, left);
            v = shift_right(high(v, f), right, mask);
            v = _mm512_add_epi32(_mm512_min_epi32(_mm512_max_epi32(v, least), most), z);
            _mm512_mask_cvtepi32_storeu_epi8(y + i * ldy + c, in, v);
        }
    }
}
