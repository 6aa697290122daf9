/* factor_avx512.h: the last steps of int8 kernels on 64 results at a time; only for files that are
 * compiled for AVX-512. See sqz_factor in kernels.h. */
#ifndef SQZ_FACTOR_AVX512_H
#define SQZ_FACTOR_AVX512_H
#include "kernels/tile.h"
#include <immintrin.h>

typedef struct factor {
    __m512i mult, at_least_0, below_0, zero; /* zero: 16 bits */
    __m128i shift;
} factor;

static inline factor factor_of(const sqz_factor *f, int32_t zero)
{
    return (factor){.mult = _mm512_set1_epi32(f->mult),
                    .at_least_0 = _mm512_set1_epi32(f->round),
                    .below_0 = _mm512_set1_epi32(f->round - 2),
                    .zero = _mm512_set1_epi16((int16_t)zero),
                    .shift = _mm_cvtsi32_si128(f->shift)};
}

/* t times the factor, rounded, without the zero point. */
static inline __m512i factor_apply(const factor *f, __m512i t)
{
    __m512i odd = _mm512_mul_epi32(_mm512_srli_epi64(t, 32), f->mult);
    __m512i high = _mm512_mask_shuffle_epi32(odd, 0x5555, _mm512_mul_epi32(t, f->mult), 0xf5);
    __m512i round = _mm512_mask_blend_epi32(_mm512_movepi32_mask(t), f->at_least_0, f->below_0);
    return _mm512_sra_epi32(_mm512_add_epi32(high, round), f->shift);
}

/* Four times 16 results to bytes, each step saturating; spread(., j) of the bytes is r[j]. */
static inline __m512i factor_pack(const factor *f, const __m512i r[4])
{
    __m512i a = _mm512_adds_epi16(_mm512_packs_epi32(r[0], r[1]), f->zero);
    __m512i b = _mm512_adds_epi16(_mm512_packs_epi32(r[2], r[3]), f->zero);
    return _mm512_packs_epi16(a, b);
}

/* Bytes 4j .. 4j + 3 of each 128 bits as the top bytes of 32-bit numbers. */
static inline __m512i spread(__m512i bytes, int j)
{
    const __m512i first = _mm512_broadcast_i32x4(
        _mm_setr_epi8(-1, -1, -1, 0, -1, -1, -1, 1, -1, -1, -1, 2, -1, -1, -1, 3));
    return _mm512_shuffle_epi8(bytes, _mm512_add_epi8(first, _mm512_set1_epi32(4 * j << 24)));
}

/* The first n of 64 bytes. */
static inline __mmask64 first_of_64(size_t n)
{
    return n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
}
#endif
