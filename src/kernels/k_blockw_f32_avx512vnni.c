/* blockw_f32: codes become floats in registers, by a table of 16 for halves of bytes, and each is
 * used for MR rows. A tile is MR rows x NP panels: few rows take several panels, to have enough
 * chains under way. */
#include "kernels/vec_avx512.h"
#define BLOCKW_PANELS   4
#define BLOCKW_TILES(M) M(8, 1) M(4, 2) M(2, 4) M(1, 4)
#include "kernels/blockw.h"

/* Term t of the 8 at `codes`, of 16 outputs. table: of codes less the zero point; where the zero
 * points differ, of codes, and `zero` is taken off. */
INLINE __m512 term(const unsigned bits, const int zeros, const uint8_t *codes, const unsigned t,
                   __m512 table, __m512 zero)
{
    if (bits == 8) {
        const __m512i v = _mm512_srli_epi32(_mm512_loadu_si512(codes + t / 4 * 64), t % 4 * 8);
        return _mm512_sub_ps(_mm512_cvtepi32_ps(_mm512_and_si512(v, _mm512_set1_epi32(255))), zero);
    }
    const __m512i v = _mm512_srli_epi32(_mm512_loadu_si512(codes), t % 4 * 8 + t / 4 * 4);
    const __m512 f = _mm512_permutexvar_ps(v, table); /* reads 4 bits of each lane */
    return zeros ? _mm512_sub_ps(f, zero) : f;
}

/* The same for any t, at the end of a row. */
INLINE __m512 last_term(const unsigned bits, const uint8_t *codes, size_t t, __m512 zero)
{
    const __m128i shift = _mm_cvtsi64_si128(
        (long long)(bits == 8 ? t % 4 * 8 : t % 4 * 8 + t / 4 * 4));
    __m512i v = _mm512_loadu_si512(codes + (bits == 8 ? t / 4 * 64 : 0));
    v = _mm512_and_si512(_mm512_srl_epi32(v, shift), _mm512_set1_epi32(bits == 8 ? 255 : 15));
    return _mm512_sub_ps(_mm512_cvtepi32_ps(v), zero);
}

INLINE void add(const size_t mr, __m512 w, const float *x, size_t ldx, __m512 *acc, size_t ld)
{
#pragma GCC unroll 8
    for (size_t r = 0; r < mr; r++)
        acc[r * ld] = _mm512_fmadd_ps(w, _mm512_set1_ps(x[r * ldx]), acc[r * ld]);
}

INLINE void tile(const size_t mr, const size_t np, const unsigned bits, const int zeros,
                 const tile_args *a)
{
    const sqz_blockw *w = a->w;
    const __m512 count = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512 offset = _mm512_set1_ps((float)w->zero);
    const __m512 table = zeros ? count : _mm512_sub_ps(count, offset);
    const uint8_t *at = (const uint8_t *)w->data + a->panel * w->panel;
    const uint8_t *zp = sqz_blockw_zeros(w, at);
    const float *x = a->x + a->row * a->ldx;
    __m512 sum[8][4];
#pragma GCC unroll 8
    for (size_t r = 0; r < mr; r++)
#pragma GCC unroll 4
        for (size_t p = 0; p < np; p++)
            sum[r][p] = _mm512_setzero_ps();
    for (size_t b = 0, left = w->k; b < w->n_block; b++, zp += SQZ_PANEL) {
        const size_t len = left < w->block ? left : w->block;
        const uint8_t *head = at;
        __m512 acc[8][4], zero[4];
        left -= len;
        at += SQZ_PANEL * sizeof(float);
#pragma GCC unroll 4
        for (size_t p = 0; p < np; p++) {
            zero[p] = zeros ? _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(
                                  (const __m128i *)(const void *)(zp + p * w->panel))))
                            : offset;
#pragma GCC unroll 8
            for (size_t r = 0; r < mr; r++)
                acc[r][p] = _mm512_setzero_ps();
        }
        size_t i = 0;
        for (; i + 8 <= len; i += 8, x += 8, at += SQZ_PANEL * bits)
#pragma GCC unroll 8
            for (unsigned t = 0; t < 8; t++)
#pragma GCC unroll 4
                for (size_t p = 0; p < np; p++)
                    add(mr, term(bits, zeros, at + p * w->panel, t, table, zero[p]), x + t, a->ldx,
                        &acc[0][p], 4);
        for (size_t t = 0; i + t < len; t++)
#pragma GCC unroll 4
            for (size_t p = 0; p < np; p++)
                add(mr, last_term(bits, at + p * w->panel, t, zero[p]), x + t, a->ldx, &acc[0][p],
                    4);
#pragma GCC unroll 4
        for (size_t p = 0; p < np; p++) {
            const __m512 s = _mm512_loadu_ps((const float *)(const void *)(head + p * w->panel));
#pragma GCC unroll 8
            for (size_t r = 0; r < mr; r++)
                sum[r][p] = _mm512_fmadd_ps(acc[r][p], s, sum[r][p]);
        }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < mr; r++)
#pragma GCC unroll 4
        for (size_t p = 0; p < np; p++)
            store(a, r, p, &sum[r][p]);
}

void sqz_blockw_f32_avx512vnni(const sqz_blockw *w, size_t begin, size_t end, size_t m,
                               const float *x, size_t ldx, float *y, size_t ldy)
{
    blockw(&(tile_args){.w = w,
                        .panel = begin / SQZ_PANEL,
                        .x = x,
                        .ldx = ldx,
                        .y = y,
                        .ldy = ldy,
                        .end = end,
                        .m = m});
}
