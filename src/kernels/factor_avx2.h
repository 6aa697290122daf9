/* factor_avx2.h: the last steps of int8 kernels on 32 results at a time; only for files that are
 * compiled for AVX2. See sqz_factor in kernels.h. */
#ifndef SQZ_FACTOR_AVX2_H
#define SQZ_FACTOR_AVX2_H
#include "kernels/tile.h"
#include <immintrin.h>

typedef struct factor {
    __m256i mult, round, zero; /* zero: 16 bits */
    __m128i shift;
} factor;

static inline factor factor_of(const sqz_factor *f, int32_t zero)
{
    return (factor){.mult = _mm256_set1_epi32(f->mult),
                    .round = _mm256_set1_epi32(f->round),
                    .zero = _mm256_set1_epi16((int16_t)zero),
                    .shift = _mm_cvtsi32_si128(f->shift)};
}

/* t times the factor, rounded, without the zero point. */
static inline __m256i factor_apply(const factor *f, __m256i t)
{
    __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(t, 32), f->mult);
    __m256i even = _mm256_srli_epi64(_mm256_mul_epi32(t, f->mult), 32);
    __m256i high = _mm256_add_epi32(_mm256_blend_epi32(even, odd, 0xaa), f->round);
    __m256i below = _mm256_srai_epi32(t, 31);
    return _mm256_sra_epi32(_mm256_add_epi32(high, _mm256_add_epi32(below, below)), f->shift);
}

/* Four times 8 results to bytes, each step saturating; spread(., j) of the bytes is r[j]. */
static inline __m256i factor_pack(const factor *f, const __m256i r[4])
{
    __m256i a = _mm256_adds_epi16(_mm256_packs_epi32(r[0], r[1]), f->zero);
    __m256i b = _mm256_adds_epi16(_mm256_packs_epi32(r[2], r[3]), f->zero);
    return _mm256_packs_epi16(a, b);
}

/* Bytes 4j .. 4j + 3 of each 128 bits as the top bytes of 32-bit numbers. */
static inline __m256i spread(__m256i bytes, int j)
{
    const __m256i first = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-1, -1, -1, 0, -1, -1, -1, 1, -1, -1, -1, 2, -1, -1, -1, 3));
    return _mm256_shuffle_epi8(bytes, _mm256_add_epi8(first, _mm256_set1_epi32(4 * j << 24)));
}
#endif
