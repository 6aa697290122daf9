/* gemm_s8 with vpdpbusd, which multiplies u8 by s8: a + 128 is the unsigned side, and 128 times the
 * sum of the weights (kept at the head of each panel) is taken off at the start.
 * A tile is MR rows x NP panels of 16 columns; its accumulators stay in registers over all of k. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

#define GROUP (4 * SQZ_PANEL) /* bytes of 4 successive k of a panel: one register */

#ifdef __OPTIMIZE__ /* sizes of tiles become constants and accumulators registers */
#    define INLINE static inline __attribute__((always_inline))
#else /* a debug build would put every tile on one stack frame */
#    define INLINE static
#endif

/* 4 bytes of a row in every lane, moved to 0..255; the last group may have fewer. */
INLINE __m512i row4(const int8_t *a, size_t bytes)
{
    int32_t v = 0;
    memcpy(&v, a, bytes);
    return _mm512_xor_si512(_mm512_set1_epi32(v), _mm512_set1_epi8((char)0x80));
}

/* Accumulators have the type that the instruction works on: with __m512i (of 64-bit lanes), gcc 12
 * copies each of them around every vpdpbusd and runs out of registers. */
typedef int32_t lanes __attribute__((vector_size(64)));

typedef struct product { /* what stays the same for all tiles */
    size_t k, lda, ldc, panel;
} product;

/* Adds `bytes` (1..4) successive k. */
INLINE void step(const size_t mr, const size_t np, const product *q, const int8_t *a, size_t bytes,
                 const int8_t *w, lanes acc[12][4])
{
    __m512i v[4];
#pragma GCC unroll 4
    for (size_t p = 0; p < np; p++)
        v[p] = _mm512_loadu_si512(w + p * q->panel);
#pragma GCC unroll 12
    for (size_t r = 0; r < mr; r++) {
        __m512i x = row4(a + r * q->lda, bytes);
#pragma GCC unroll 4
        for (size_t p = 0; p < np; p++)
            acc[r][p] = (lanes)_mm512_dpbusd_epi32((__m512i)acc[r][p], x, v[p]);
    }
}

/* cols: valid columns of the last panel, as a mask. */
INLINE void tile(const size_t mr, const size_t np, const product *q, const int8_t *a,
                 const int8_t *w, int32_t *c, __mmask16 cols)
{
    lanes acc[12][4];
#pragma GCC unroll 4
    for (size_t p = 0; p < np; p++) {
        lanes sum = (lanes)_mm512_loadu_si512(w + p * q->panel);
#pragma GCC unroll 12
        for (size_t r = 0; r < mr; r++)
            acc[r][p] = sum * -128;
    }
    size_t whole = q->k & ~(size_t)3;
    w += GROUP;
    if (whole < q->k) /* before the loop, not in or after it: that costs registers */
        step(mr, np, q, a + whole, q->k - whole, w + whole * SQZ_PANEL, acc);
    for (size_t j = 0; j < whole; j += 4, w += GROUP)
        step(mr, np, q, a + j, 4, w, acc);
#pragma GCC unroll 12
    for (size_t r = 0; r < mr; r++)
#pragma GCC unroll 4
        for (size_t p = 0; p < np; p++)
            _mm512_mask_storeu_epi32(c + r * q->ldc + p * SQZ_PANEL, p + 1 == np ? cols : 0xffff,
                                     (__m512i)acc[r][p]);
}

typedef struct strip { /* all rows of some panels */
    size_t m;
    const int8_t *a, *w;
    int32_t *c;
    __mmask16 cols;
} strip;

/* Whole tiles, then pairs, then the last row. */
INLINE void rows(const size_t mr, const size_t np, const product *q, const strip *s)
{
    size_t i = 0;
    for (; i + mr <= s->m; i += mr)
        tile(mr, np, q, s->a + i * q->lda, s->w, s->c + i * q->ldc, s->cols);
    for (; i + 2 <= s->m; i += 2)
        tile(2, np, q, s->a + i * q->lda, s->w, s->c + i * q->ldc, s->cols);
    if (i < s->m)
        tile(1, np, q, s->a + i * q->lda, s->w, s->c + i * q->ldc, s->cols);
}

void sqz_gemm_s8_avx512vnni(const sqz_packed_v1 *w, size_t m, const int8_t *a, size_t lda, int32_t *c,
                            size_t ldc)
{
    const product q = {w->k, lda, ldc, (1 + (w->k + 3) / 4) * GROUP};
    strip s = {.m = m, .a = a, .w = w->data};
    for (size_t j = 0; j < w->n;) {
        size_t left = w->n - j, np = left > 48 ? 4 : (left + 15) / 16, wide = np * SQZ_PANEL;
        s.c = c + j;
        s.cols = (__mmask16)(left >= wide ? 0xffffu : 0xffffu >> (wide - left));
        switch (np) { /* 24 accumulators or 12: enough to hide the latency, and no spills */
        case 4: rows(6, 4, &q, &s); break;
        case 3: rows(8, 3, &q, &s); break;
        case 2: rows(12, 2, &q, &s); break;
        default: rows(12, 1, &q, &s); break;
        }
        s.w += np * q.panel;
        j += wide;
    }
}
