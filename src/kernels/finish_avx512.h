/* finish_avx512.h: 16 sums at a time to the output's grid: sqz_rt_to_s8 on vectors. For kernel
 * files compiled for AVX-512 only. */
#ifndef SQZ_FINISH_AVX512_H
#define SQZ_FINISH_AVX512_H
#include "kernels/tile.h"
#include <immintrin.h>

typedef enum finish_kind {
    FINISH_ANY,   /* every factor, clamp and sum */
    FINISH_PLAIN, /* what layers have: shifts of -1 .. -20, no clamp, sums below 2^29 */
    FINISH_RELU,  /* the same, zero point -128: negative results do not matter */
    FINISH_FLOAT  /* a fused multiply-add: sqz_requant_fit_fn */
} finish_kind;

typedef struct finish { /* parameters of 16 columns */
    finish_kind kind;
    __m512i even, odd;        /* mult of every second column, in the low half of 64 bits */
    __m512i right;            /* shift to the right; PLAIN: of the sums times 4, one more */
    __m512i round, round_neg; /* PLAIN: what is added before it */
    __m512i left, rest, zero, low, top; /* ANY: shift to the left, 2^right - 1, the clamp */
    __m512 scale, offset;               /* FLOAT */
} finish;

/* Both divisions of sqz_rt_requant become one, as floors of floors merge (see sqz_factor):
 * (H + half a step + half a unit of the first division - (v < 0 ? 2 : 0)) >> right, H the high half
 * of 4 * v * mult; the zero point is in the same sum. */
static inline void finish_plain(finish *f, const sqz_requant *q)
{
    const __m512i one = _mm512_set1_epi32(1), step = _mm512_sllv_epi32(one, f->right);
    f->round = _mm512_add_epi32(_mm512_add_epi32(step, one),
                                _mm512_mullo_epi32(step, _mm512_set1_epi32(2 * q->zero)));
    f->round_neg = _mm512_sub_epi32(f->round, _mm512_set1_epi32(2));
    f->right = _mm512_add_epi32(f->right, one);
    f->kind = q->zero == -128 ? FINISH_RELU : FINISH_PLAIN;
}

static inline void finish_float(finish *f, const sqz_requant *q, size_t j, __mmask16 in)
{
    if (!q->scale)
        return;
    f->scale = _mm512_maskz_loadu_ps(in, q->scale + j);
    f->offset = _mm512_maskz_loadu_ps(in, q->offset + j);
    if (!_mm512_mask_cmp_ps_mask(in, f->scale, _mm512_setzero_ps(), _CMP_EQ_OQ))
        f->kind = FINISH_FLOAT;
}

/* Columns j .. j + 15 of q, of which those in `in` exist. */
static inline finish finish_of(const sqz_requant *q, size_t j, __mmask16 in)
{
    const __m512i none = _mm512_setzero_si512(), mult = _mm512_maskz_loadu_epi32(in, q->mult + j);
    const __m512i shift = _mm512_mask_loadu_epi32(_mm512_set1_epi32(-1), in, q->shift + j);
    finish f = {.even = mult,
                .odd = _mm512_srli_epi64(mult, 32),
                .right = _mm512_max_epi32(_mm512_sub_epi32(none, shift), none)};
    __mmask16 usual = _mm512_cmplt_epi32_mask(shift, none) &
                      _mm512_cmpge_epi32_mask(shift, _mm512_set1_epi32(-20));
    if (usual == 0xffff && q->small && q->lo == -128 && q->hi == 127) {
        finish_plain(&f, q);
        finish_float(&f, q, j, in);
        return f;
    }
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

static inline __m512i finish_usual(const finish_kind kind, const finish *f, __m512i v)
{
    if (kind == FINISH_FLOAT)
        return _mm512_cvtps_epi32(_mm512_fmadd_ps(_mm512_cvtepi32_ps(v), f->scale, f->offset));
    const __m512i four = _mm512_slli_epi32(v, 2);
    __m512 even = _mm512_castsi512_ps(_mm512_mul_epi32(four, f->even));
    __m512 odd = _mm512_castsi512_ps(_mm512_mul_epi32(_mm512_srli_epi64(four, 32), f->odd));
    __m512i high = _mm512_castps_si512(_mm512_mask_movehdup_ps(odd, 0x5555, even));
    __m512i round = f->round;
    if (kind != FINISH_RELU) /* round_neg where v < 0 */
        round = _mm512_ternarylogic_epi32(_mm512_srai_epi32(v, 31), f->round_neg, round, 0xca);
    return _mm512_srav_epi32(_mm512_add_epi32(high, round), f->right);
}

INLINE void finish_rows_of(const finish_kind kind, const finish *f, size_t m, const int32_t *sum,
                           size_t pitch, int8_t *y, size_t ld, __mmask16 in)
{
    const finish g = *f;
    for (size_t r = 0; r < m; r++, sum += pitch, y += ld) {
        __m512i v = _mm512_loadu_si512(sum);
        v = kind == FINISH_ANY ? finish_any(&g, v) : finish_usual(kind, &g, v);
        _mm512_mask_cvtsepi32_storeu_epi8(y, in, v);
    }
}

/* Rows of 16 sums, `pitch` apart, to rows of codes, of which `in` are stored. */
static inline void finish_rows(const finish *f, size_t m, const int32_t *sum, size_t pitch,
                               int8_t *y, size_t ld, __mmask16 in)
{
    switch (f->kind) {
    case FINISH_FLOAT: finish_rows_of(FINISH_FLOAT, f, m, sum, pitch, y, ld, in); break;
    case FINISH_RELU: finish_rows_of(FINISH_RELU, f, m, sum, pitch, y, ld, in); break;
    case FINISH_PLAIN: finish_rows_of(FINISH_PLAIN, f, m, sum, pitch, y, ld, in); break;
    default: finish_rows_of(FINISH_ANY, f, m, sum, pitch, y, ld, in); break;
    }
}
#endif
