/* finish_avx512.h: 16 sums at a time to the output's grid: sqz_rt_to_s8 on vectors. For kernel
 * files compiled for AVX-512 only. */
#ifndef SQZ_FINISH_AVX512_H
#define SQZ_FINISH_AVX512_H
#include "kernels/kernels.h"
#include <immintrin.h>

typedef enum finish_kind {
    FINISH_ANY,  /* every factor and clamp */
    FINISH_PLAIN /* shifts of -1 .. -20 and no clamp: what layers have */
} finish_kind;

typedef struct finish { /* parameters of 16 columns */
    finish_kind kind;
    __m512i even,
        odd;       /* mult of every second column, in the low half of 64 bits; PLAIN: 2 * mult */
    __m512i right; /* shift to the right */
    __m512i more_even, more_odd;        /* PLAIN: what is added to the products */
    __m512i left, rest, zero, low, top; /* ANY: shift to the left, 2^right - 1, the clamp */
} finish;

/* 2 * mult does not fit a signed lane: what vpmuldq sees is less by 2^32, and v is added later. The
 * constant, in units of 2^-32: half a unit for the first rounding, half a step for the second, and
 * the zero point. */
static inline void finish_plain(finish *f, __m512i mult, const sqz_requant *q)
{
    const __m512i half = _mm512_set1_epi64((int64_t)1 << 31), one = _mm512_set1_epi32(1);
    __m512i step = _mm512_sllv_epi32(one, f->right);
    __m512i more = _mm512_add_epi32(_mm512_srli_epi32(step, 1),
                                    _mm512_mullo_epi32(step, _mm512_set1_epi32(q->zero)));
    f->even = _mm512_slli_epi32(mult, 1);
    f->odd = _mm512_srli_epi64(f->even, 32);
    f->more_even = _mm512_or_si512(_mm512_slli_epi64(more, 32), half);
    f->more_odd = _mm512_mask_mov_epi32(half, 0xaaaa, more);
    f->kind = FINISH_PLAIN;
}

/* Columns j .. j + 15 of q, of which those in `in` exist. */
static inline finish finish_of(const sqz_requant *q, size_t j, __mmask16 in)
{
    const __m512i none = _mm512_setzero_si512(), mult = _mm512_maskz_loadu_epi32(in, q->mult + j);
    const __m512i shift = _mm512_mask_loadu_epi32(_mm512_set1_epi32(-1), in, q->shift + j);
    finish f = {.right = _mm512_max_epi32(_mm512_sub_epi32(none, shift), none)};
    __mmask16 usual = _mm512_cmplt_epi32_mask(shift, none) &
                      _mm512_cmpge_epi32_mask(shift, _mm512_set1_epi32(-20));
    if (usual == 0xffff && q->lo == -128 && q->hi == 127) {
        finish_plain(&f, mult, q);
        return f;
    }
    f.even = mult;
    f.odd = _mm512_srli_epi64(mult, 32);
    f.left = _mm512_max_epi32(shift, none);
    f.rest = _mm512_sub_epi32(_mm512_sllv_epi32(_mm512_set1_epi32(1), f.right),
                              _mm512_set1_epi32(1));
    f.zero = _mm512_set1_epi32(q->zero);
    f.low = _mm512_set1_epi32(q->lo - q->zero);
    f.top = _mm512_set1_epi32(q->hi - q->zero);
    return f;
}

/* v * 2^s, saturating; s >= 0. */
static inline __m512i finish_left(__m512i v, __m512i s)
{
    __m512i up = _mm512_sllv_epi32(v, s);
    __mmask16 lost = _mm512_cmpneq_epi32_mask(_mm512_srav_epi32(up, s), v);
    __m512i limit = _mm512_xor_si512(_mm512_srai_epi32(v, 31), _mm512_set1_epi32(INT32_MAX));
    return _mm512_mask_mov_epi32(up, lost, limit);
}

/* High half of 2 * v * mult, halves up: even and odd lanes in 64 bits. */
static inline __m512i finish_high(const finish *f, __m512i v)
{
    const __m512i half = _mm512_set1_epi64((int64_t)1 << 30);
    __m512i even = _mm512_add_epi64(_mm512_mul_epi32(v, f->even), half);
    __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(v, 32), f->odd), half);
    return _mm512_mask_mov_epi32(_mm512_srli_epi64(even, 31), 0xaaaa, _mm512_slli_epi64(odd, 1));
}

/* round(v / 2^right), halves away from zero. */
static inline __m512i finish_right(const finish *f, __m512i v)
{
    __m512i rest = _mm512_and_si512(v, f->rest);
    __m512i half = _mm512_sub_epi32(_mm512_srli_epi32(f->rest, 1), _mm512_srai_epi32(v, 31));
    __mmask16 up = _mm512_cmpgt_epu32_mask(rest, half);
    __m512i down = _mm512_srav_epi32(v, f->right);
    return _mm512_mask_sub_epi32(down, up, down, _mm512_set1_epi32(-1));
}

static inline __m512i finish_any(const finish *f, __m512i v)
{
    v = finish_right(f, finish_high(f, finish_left(v, f->left)));
    v = _mm512_min_epi32(_mm512_max_epi32(v, f->low), f->top);
    return _mm512_add_epi32(v, f->zero);
}

/* floor((high + half - (v < 0)) / 2^right) + zero, where `half` and the zero point are in the
 * products already; the subtraction makes halves go away from zero. Sums beyond 2^30 are clamped:
 * they and 2^30 saturate, as 2^30 * mult / 2^31 / 2^20 >= 512. */
static inline __m512i finish_sum(const finish *f, __m512i v)
{
    v = _mm512_max_epi32(v, _mm512_set1_epi32(-(1 << 30)));
    v = _mm512_min_epi32(v, _mm512_set1_epi32(1 << 30));
    __m512i even = _mm512_add_epi64(_mm512_mul_epi32(v, f->even), f->more_even);
    __m512i odd = _mm512_mul_epi32(_mm512_srli_epi64(v, 32), f->odd);
    __m512 high = _mm512_castsi512_ps(_mm512_add_epi64(odd, f->more_odd));
    high = _mm512_mask_movehdup_ps(high, 0x5555, _mm512_castsi512_ps(even));
    v = _mm512_add_epi32(v, _mm512_srai_epi32(v, 31));
    return _mm512_srav_epi32(_mm512_add_epi32(_mm512_castps_si512(high), v), f->right);
}

/* Rows of 16 sums, `pitch` apart, to rows of codes, of which `in` are stored. */
static inline void finish_rows(const finish *f, size_t m, const int32_t *sum, size_t pitch,
                               int8_t *y, size_t ld, __mmask16 in)
{
    const finish g = *f;
    if (g.kind == FINISH_PLAIN)
        for (size_t r = 0; r < m; r++, sum += pitch, y += ld)
            _mm512_mask_cvtsepi32_storeu_epi8(y, in, finish_sum(&g, _mm512_loadu_si512(sum)));
    else
        for (size_t r = 0; r < m; r++, sum += pitch, y += ld)
            _mm512_mask_cvtsepi32_storeu_epi8(y, in, finish_any(&g, _mm512_loadu_si512(sum)));
}
#endif
