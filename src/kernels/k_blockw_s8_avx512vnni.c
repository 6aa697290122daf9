/* blockw_s8 with vpdpbusd: the weights' codes are its unsigned side, and minus zero times the sum
 * of the row's codes is where a block's sum starts. Halves are taken apart in registers. A tile is
 * MR rows x NP panels: few rows take several panels, to have enough sums under way. */
#include "kernels/vec_avx512.h"
#define BLOCKW_PANELS   4
#define BLOCKW_TILES(M) M(8, 1) M(4, 2) M(2, 4) M(1, 4)
#include "kernels/blockw.h"
#include <string.h>

typedef int32_t lanes __attribute__((vector_size(64))); /* see k_gemm_s8_avx512vnni.c */

INLINE __m512i row4(const int8_t *q) /* 4 codes of a row in every lane */
{
    int32_t v;
    memcpy(&v, q, 4);
    return _mm512_set1_epi32(v);
}

/* Adds the 8 terms of a row that begin at q. */
INLINE void step(const unsigned bits, const uint8_t *codes, const int8_t *q, size_t ldq,
                 const size_t mr, lanes *acc, size_t ld)
{
    const __m512i low = _mm512_set1_epi8(15), v = _mm512_loadu_si512(codes);
    const __m512i a = bits == 8 ? v : _mm512_and_si512(v, low);
    const __m512i b = bits == 8 ? _mm512_loadu_si512(codes + 64)
                                : _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
#pragma GCC unroll 8
    for (size_t r = 0; r < mr; r++) {
        const int8_t *x = q + r * ldq;
        lanes s = (lanes)_mm512_dpbusd_epi32((__m512i)acc[r * ld], a, row4(x));
        acc[r * ld] = (lanes)_mm512_dpbusd_epi32((__m512i)s, b, row4(x + 4));
    }
}

INLINE void tile(const size_t mr, const size_t np, const unsigned bits, const int zeros,
                 const tile_args *t)
{
    const size_t ahead = mr > 2 ? 2048 : 0; /* bytes; 0: left to the processor */
    const sqz_blockw *w = t->w;
    const size_t n_block = w->n_block, ldq = n_block * w->block;
    const __m512i one_zero = _mm512_set1_epi32(w->zero);
    const uint8_t *at = (const uint8_t *)w->data + t->panel * w->panel;
    const int8_t *q = t->rows->q + t->row * ldq;
    const int32_t *less = t->rows->less + t->row * n_block;
    const float *scale = t->rows->scale + t->row * n_block;
    const uint8_t *zero = sqz_blockw_zeros(w, at);
    __m512 sum[8][4];
#pragma GCC unroll 8
    for (size_t r = 0; r < mr; r++)
#pragma GCC unroll 4
        for (size_t p = 0; p < np; p++)
            sum[r][p] = _mm512_setzero_ps();
    for (size_t b = 0; b < n_block; b++, less++, scale++, zero += SQZ_PANEL) {
        const size_t len = sqz_blockw_len(w, b);
        const uint8_t *head = at;
        lanes acc[8][4];
#pragma GCC unroll 4
        for (size_t p = 0; p < np; p++) {
            const __m512i z = zeros ? _mm512_cvtepu8_epi32(_mm_loadu_si128(
                                          (const __m128i *)(const void *)(zero + p * w->panel)))
                                    : one_zero;
#pragma GCC unroll 8
            for (size_t r = 0; r < mr; r++)
                acc[r][p] = (lanes)_mm512_mullo_epi32(z, _mm512_set1_epi32(less[r * n_block]));
        }
        at += SQZ_PANEL * sizeof(float);
        for (size_t i = 0; i < len; i += 8, q += 8, at += SQZ_PANEL * bits)
#pragma GCC unroll 4
            for (size_t p = 0; p < np; p++) {
                const uint8_t *codes = at + p * w->panel;
                if (ahead)
                    _mm_prefetch((const char *)codes + ahead, _MM_HINT_T0);
                step(bits, codes, q, ldq, mr, &acc[0][p], 4);
            }
#pragma GCC unroll 4
        for (size_t p = 0; p < np; p++) {
            const __m512 s = _mm512_loadu_ps((const float *)(const void *)(head + p * w->panel));
#pragma GCC unroll 8
            for (size_t r = 0; r < mr; r++)
                sum[r][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps((__m512i)acc[r][p]),
                                            _mm512_mul_ps(s, _mm512_set1_ps(scale[r * n_block])),
                                            sum[r][p]);
        }
        q += w->block - len;
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < mr; r++)
#pragma GCC unroll 4
        for (size_t p = 0; p < np; p++)
            store(t, r, p, &sum[r][p]);
}

void sqz_blockw_s8_avx512vnni(const sqz_blockw *w, size_t begin, size_t end,
                              const sqz_block_rows *x, float *y, size_t ldy)
{
    blockw(&(tile_args){
        .w = w, .panel = begin / SQZ_PANEL, .rows = x, .y = y, .ldy = ldy, .end = end, .m = x->m});
}
