/* gemm_s8 with vpdpbusd, which multiplies u8 by s8: a + 128 is the unsigned side, and 128 times the
 * sum of the weights (kept at the head of each panel) is taken off at the start.
 * A tile is MR rows x NP panels of 16 columns; its accumulators stay in registers over all of k. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

#define GROUP (4 * SQZ_PANEL) /* bytes of 4 successive k of a panel: one register */

/* 4 bytes of a row in every lane, moved to 0..255; the last group may have fewer. */
static inline __m512i row4(const int8_t *a, size_t bytes)
{
    int32_t v = 0;
    if (bytes >= 4)
        memcpy(&v, a, 4);
    else
        memcpy(&v, a, bytes);
    return _mm512_xor_si512(_mm512_set1_epi32(v), _mm512_set1_epi8((char)0x80));
}

/* cols: valid columns of the last panel, as a mask. */
static inline __attribute__((always_inline)) void tile(const size_t mr, const size_t np, size_t k,
                                                       const int8_t *a, size_t lda, const int8_t *w,
                                                       size_t panel, int32_t *c, size_t ldc,
                                                       __mmask16 cols)
{
    __m512i acc[16][4];
#pragma GCC unroll 4
    for (size_t p = 0; p < np; p++) {
        __m512i sum = _mm512_loadu_si512(w + p * panel);
#pragma GCC unroll 16
        for (size_t r = 0; r < mr; r++)
            acc[r][p] = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sum, 7));
    }
    w += GROUP;
    for (size_t j = 0; j < k; j += 4, w += GROUP) {
        __m512i v[4];
#pragma GCC unroll 4
        for (size_t p = 0; p < np; p++)
            v[p] = _mm512_loadu_si512(w + p * panel);
#pragma GCC unroll 16
        for (size_t r = 0; r < mr; r++) {
            __m512i x = row4(a + r * lda + j, k - j);
#pragma GCC unroll 4
            for (size_t p = 0; p < np; p++)
                acc[r][p] = _mm512_dpbusd_epi32(acc[r][p], x, v[p]);
        }
    }
#pragma GCC unroll 16
    for (size_t r = 0; r < mr; r++)
#pragma GCC unroll 4
        for (size_t p = 0; p < np; p++)
            _mm512_mask_storeu_epi32(c + r * ldc + p * SQZ_PANEL, p + 1 == np ? cols : 0xffff,
                                     acc[r][p]);
}

/* All rows of np panels: whole tiles, then pairs, then the last row. */
static inline __attribute__((always_inline)) void rows(const size_t mr, const size_t np, size_t m,
                                                       size_t k, const int8_t *a, size_t lda,
                                                       const int8_t *w, size_t panel, int32_t *c,
                                                       size_t ldc, __mmask16 cols)
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
        __mmask16 cols = left >= wide ? 0xffff : (__mmask16)((1u << (left - wide + 16)) - 1);
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
