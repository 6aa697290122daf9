/* requant_s8, 8 columns at a time; the steps are those of sqz_rt_requant.c. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

/* v * 2^s, saturating; s >= 0. */
static inline __m256i shift_left(__m256i v, __m256i s)
{
    __m256i up = _mm256_sllv_epi32(v, s);
    __m256i kept = _mm256_cmpeq_epi32(_mm256_srav_epi32(up, s), v);
    __m256i limit = _mm256_xor_si256(_mm256_srai_epi32(v, 31), _mm256_set1_epi32(INT32_MAX));
    return _mm256_blendv_epi8(limit, up, kept);
}

/* High half of 2 * v * mult, halves up: even and odd lanes in 64 bits. */
static inline __m256i high(__m256i v, __m256i mult)
{
    const __m256i half = _mm256_set1_epi64x((int64_t)1 << 30);
    __m256i even = _mm256_add_epi64(_mm256_mul_epi32(v, mult), half);
    __m256i odd = _mm256_add_epi64(
        _mm256_mul_epi32(_mm256_srli_epi64(v, 32), _mm256_srli_epi64(mult, 32)), half);
    return _mm256_blend_epi32(_mm256_srli_epi64(even, 31), _mm256_slli_epi64(odd, 1), 0xaa);
}

/* round(v / 2^s), halves away from zero; mask = 2^s - 1. rest and half are below 2^31, so the
 * signed comparison is right. */
static inline __m256i shift_right(__m256i v, __m256i s, __m256i mask)
{
    __m256i rest = _mm256_and_si256(v, mask);
    __m256i half = _mm256_sub_epi32(_mm256_srli_epi32(mask, 1), _mm256_srai_epi32(v, 31));
    return _mm256_sub_epi32(_mm256_srav_epi32(v, s), _mm256_cmpgt_epi32(rest, half));
}

/* The first `cols` lanes of 8. */
static inline __m256i lanes(size_t cols)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)cols),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* 8 numbers in -128 .. 127 as bytes. */
static inline void store(int8_t *y, size_t cols, __m256i v)
{
    __m128i s16 = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    int64_t s8 = _mm_cvtsi128_si64(_mm_packs_epi16(s16, s16));
    memcpy(y, &s8, cols);
}

void sqz_requant_s8_avx2(const sqz_requant *p, size_t m, const int32_t *acc, int8_t *y, size_t ldy)
{
    const size_t n = p->n;
    const __m256i none = _mm256_setzero_si256(), one = _mm256_set1_epi32(1);
    const __m256i least = _mm256_set1_epi32(p->lo - p->zero),
                  most = _mm256_set1_epi32(p->hi - p->zero);
    for (size_t c = 0; c < n; c += 8) {
        size_t cols = n - c < 8 ? n - c : 8;
        __m256i in = lanes(cols), b = _mm256_maskload_epi32(p->bias + c, in);
        __m256i f = _mm256_maskload_epi32(p->mult + c, in),
                s = _mm256_maskload_epi32(p->shift + c, in);
        __m256i left = _mm256_max_epi32(s, none);
        __m256i right = _mm256_max_epi32(_mm256_sub_epi32(none, s), none);
        __m256i mask = _mm256_sub_epi32(_mm256_sllv_epi32(one, right), one);
        for (size_t i = 0; i < m; i++) {
            __m256i v = _mm256_add_epi32(_mm256_maskload_epi32(acc + i * n + c, in), b);
            v = shift_right(high(shift_left(v, left), f), right, mask);
            v = _mm256_min_epi32(_mm256_max_epi32(v, least), most);
            store(y + i * ldy + c, cols, _mm256_add_epi32(v, _mm256_set1_epi32(p->zero)));
        }
    }
}
