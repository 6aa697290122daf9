/* gemm_s8 with vpdpbusd, which multiplies u8 by s8: a + 128 is the unsigned side, and 128 times the
 * sum of the weights (kept at the head of each panel) is taken off at the start.
 * A tile is MR rows x NP panels of 16 columns; its accumulators stay in registers over all of k. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

#define GROUP  (4 * SQZ_PANEL) /* bytes of 4 successive k of a panel: one register */

#define INLINE static inline __attribute__((always_inline))

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

/* Adds `bytes` (1..4) successive k. */
INLINE void step(const size_t mr, const size_t np, const int8_t *a, size_t lda, size_t bytes,
                 const int8_t *w, size_t panel, lanes acc[12][4])
{
    __m512i v[4];
#pragma GCC unroll 4
    for (size_t p = 0; p < np; p++)
        v[p] = _mm512_loadu_si512(w + p * panel);
#pragma GCC unroll 12
    for (size_t r = 0; r < mr; r++) {
        __m512i x = row4(a + r * lda, bytes);
#pragma GCC unroll 4
        for (size_t p = 0; p < np; p++)
            acc[r][p] = (lanes)_mm512_dpbusd_epi32((__m512i)acc[r][p], x, v[p]);
    }
}

/* cols: valid columns of the last panel, as a mask. */
INLINE void tile(const size_t mr, const size_t np, size_t k, const int8_t *a, size_t lda,
                 const int8_t *w, size_t panel, int32_t *c, size_t ldc, __mmask16 cols)
{
    lanes acc[12][4];
#pragma GCC unroll 4
    for (size_t p = 0; p < np; p++) {
        lanes sum = (lanes)_mm512_loadu_si512(w + p * panel);
#pragma GCC unroll 12
        for (size_t r = 0; r < mr; r++)
            acc[r][p] = sum * -128;
    }
    size_t whole = k & ~(size_t)3;
    w += GROUP;
    if (whole < k) /* before the loop, not in or after it: that costs registers */
        step(mr, np, a + whole, lda, k - whole, w + whole * SQZ_PANEL, panel, acc);
    for (size_t j = 0; j < whole; j += 4, w += GROUP)
        step(mr, np, a + j, lda, 4, w, panel, acc);
#pragma GCC unroll 12
    for (size_t r = 0; r < mr; r++)
#pragma GCC unroll 4
        for (size_t p = 0; p < np; p++)
            _mm512_mask_storeu_epi32(c + r * ldc + p * SQZ_PANEL, p + 1 == np ? cols : 0xffff,
                                     (__m512i)acc[r][p]);
}

/* All rows of np panels: whole tiles, then pairs, then the last row. */
INLINE void rows(const size_t mr, const size_t np, size_t m, size_t k, const int8_t *a, size_t lda,
                 const int8_t *w, size_t panel, int32_t *c, size_t ldc, __mmask16 cols)
{
    size_t i = 0;
    for (; i + mr <= m; i += mr)
        tile(mr, np, k, a + i * lda, lda, w, panel, c + i * ldc, ldc, cols);
    for (; i + 2 <= m; i += 2)
        tile(2, np, k, a + i * lda, lda, w, panel, c + i * ldc, ldc, cols);
    if (i < m)
        tile(1, np, k, a + i * lda, lda, w, panel, c + i * ldc, ldc, cols);
}

void sqz_gemm_s8_avx512vnni(size_t m, size_t n, size_t k, const int8_t *a, size_t lda,
                            const void *packed, int32_t *c, size_t ldc)
{
    size_t panel = (1 + (k + 3) / 4) * GROUP;
    const int8_t *w = packed;
    for (size_t j = 0; j < n;) {
        size_t left = n - j, np = left > 48 ? 4 : (left + 15) / 16, wide = np * SQZ_PANEL;
        __mmask16 cols = (__mmask16)(left >= wide ? 0xffffu : 0xffffu >> (wide - left));
        switch (np) { /* 24 accumulators or 12: enough to hide the latency, and no spills */
        case 4: rows(6, 4, m, k, a, lda, w, panel, c + j, ldc, cols); break;
        case 3: rows(8, 3, m, k, a, lda, w, panel, c + j, ldc, cols); break;
        case 2: rows(12, 2, m, k, a, lda, w, panel, c + j, ldc, cols); break;
        default: rows(12, 1, m, k, a, lda, w, panel, c + j, ldc, cols); break;
        }
        w += np * panel;
        j += wide;
    }
}
