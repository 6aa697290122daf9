/* finish_avx2.h: 8 sums at a time to the output's grid: sqz_rt_to_s8 on vectors. For kernel files
 * compiled for AVX2 and wider. */
#ifndef SQZ_FINISH_AVX2_H
#define SQZ_FINISH_AVX2_H
#include "kernels/tile.h"
#include <immintrin.h>
#include <string.h>

typedef struct finish8 { /* parameters of 8 columns */
    int real;            /* in float: sqz_requant_fit_fn */
    __m256 scale, offset;
    int usual; /* what layers have: shifts of -1 .. -20, no clamp, sums below 2^29 */
    __m256i round, round_neg, more; /* usual: see finish_avx512.h; shift to the right, one more */
    __m256i even, odd;              /* mult of every second column, in the low half of 64 bits */
    __m256i left, right, rest, zero, low, top; /* shifts, 2^right - 1, the clamp */
} finish8;

/* Columns j .. j + 7 of q, whose arrays reach there. */
static inline finish8 finish8_of(const sqz_requant *q, size_t j)
{
    const __m256i none = _mm256_setzero_si256(), one = _mm256_set1_epi32(1);
    const __m256i mult = _mm256_loadu_si256((const void *)(q->mult + j));
    const __m256i shift = _mm256_loadu_si256((const void *)(q->shift + j));
    finish8 f = {.even = mult, .odd = _mm256_srli_epi64(mult, 32)};
    f.left = _mm256_max_epi32(shift, none);
    f.right = _mm256_max_epi32(_mm256_sub_epi32(none, shift), none);
    f.rest = _mm256_sub_epi32(_mm256_sllv_epi32(one, f.right), one);
    f.zero = _mm256_set1_epi32(q->zero);
    f.low = _mm256_set1_epi32(q->lo - q->zero);
    f.top = _mm256_set1_epi32(q->hi - q->zero);
    const __m256i many = _mm256_cmpgt_epi32(f.right, _mm256_set1_epi32(20));
    const __m256i few = _mm256_cmpgt_epi32(one, f.right);
    if (!q->small || q->lo != -128 || q->hi != 127 ||
        _mm256_movemask_epi8(_mm256_or_si256(many, few)))
        return f;
    if (q->scale) {
        f.scale = _mm256_loadu_ps(q->scale + j);
        f.offset = _mm256_loadu_ps(q->offset + j);
        f.real = !_mm256_movemask_ps(_mm256_cmp_ps(f.scale, _mm256_setzero_ps(), _CMP_EQ_OQ));
    }
    const __m256i step = _mm256_sllv_epi32(one, f.right);
    f.usual = 1;
    f.more = _mm256_add_epi32(f.right, one);
    f.round = _mm256_add_epi32(_mm256_add_epi32(step, one),
                               _mm256_mullo_epi32(step, _mm256_set1_epi32(2 * q->zero)));
    f.round_neg = _mm256_sub_epi32(f.round, _mm256_set1_epi32(2));
    return f;
}

/* v * 2^s, saturating; s >= 0. */
static inline __m256i finish8_left(__m256i v, __m256i s)
{
    __m256i up = _mm256_sllv_epi32(v, s);
    __m256i kept = _mm256_cmpeq_epi32(_mm256_srav_epi32(up, s), v);
    __m256i limit = _mm256_xor_si256(_mm256_srai_epi32(v, 31), _mm256_set1_epi32(INT32_MAX));
    return _mm256_blendv_epi8(limit, up, kept);
}

/* High half of 2 * v * mult, halves up: even and odd lanes in 64 bits. */
static inline __m256i finish8_high(const finish8 *f, __m256i v)
{
    const __m256i half = _mm256_set1_epi64x((int64_t)1 << 30);
    __m256i even = _mm256_add_epi64(_mm256_mul_epi32(v, f->even), half);
    __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(v, 32), f->odd), half);
    return _mm256_blend_epi32(_mm256_srli_epi64(even, 31), _mm256_add_epi64(odd, odd), 0xaa);
}

/* round(v / 2^right), halves away from zero. rest and half are below 2^31, so that the signed
 * comparison is right. */
static inline __m256i finish8_right(const finish8 *f, __m256i v)
{
    __m256i rest = _mm256_and_si256(v, f->rest);
    __m256i half = _mm256_sub_epi32(_mm256_srli_epi32(f->rest, 1), _mm256_srai_epi32(v, 31));
    return _mm256_sub_epi32(_mm256_srav_epi32(v, f->right), _mm256_cmpgt_epi32(rest, half));
}

/* Both roundings in one shift of 4 v * mult: see finish_avx512.h. */
static inline __m256i finish8_usual(const finish8 *f, __m256i v)
{
    const __m256i four = _mm256_slli_epi32(v, 2);
    __m256i even = _mm256_mul_epi32(four, f->even);
    __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(four, 32), f->odd);
    __m256i high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
    __m256i round = _mm256_castps_si256(_mm256_blendv_ps(
        _mm256_castsi256_ps(f->round), _mm256_castsi256_ps(f->round_neg), _mm256_castsi256_ps(v)));
    return _mm256_srav_epi32(_mm256_add_epi32(high, round), f->more);
}

/* 8 sums to numbers that the saturating narrowing makes codes of. */
static inline __m256i finish8_sums(const finish8 *f, __m256i v)
{
    if (f->real)
        return _mm256_cvtps_epi32(_mm256_fmadd_ps(_mm256_cvtepi32_ps(v), f->scale, f->offset));
    if (f->usual)
        return finish8_usual(f, v);
    v = finish8_right(f, finish8_high(f, finish8_left(v, f->left)));
    v = _mm256_min_epi32(_mm256_max_epi32(v, f->low), f->top);
    return _mm256_add_epi32(v, f->zero);
}

/* One row of 16 sums to codes, of which the first `n` are stored. */
static inline void finish16_store(const finish8 f[2], __m256i a, __m256i b, int8_t *y, size_t n)
{
    __m256i v = _mm256_packs_epi32(finish8_sums(&f[0], a), finish8_sums(&f[1], b));
    v = _mm256_permute4x64_epi64(v, _MM_SHUFFLE(3, 1, 2, 0));
    __m128i q = _mm_packs_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    if (n == SQZ_PANEL) {
        _mm_storeu_si128((void *)y, q);
    } else {
        int8_t out[SQZ_PANEL];
        _mm_storeu_si128((void *)out, q);
        memcpy(y, out, n);
    }
}
#endif
