/* blockw_f32: codes become floats in registers, and each is used for MR rows. A tile is MR rows x 1
 * panel. */
#include "kernels/vec_avx2.h"
#define BLOCKW_PANELS   1
#define BLOCKW_TILES(M) M(4, 1) M(1, 1)
#include "kernels/blockw.h"

/* Term t of the 8 at `codes`, of outputs 8h .. 8h+7. */
INLINE __m256 term(const unsigned bits, const uint8_t *codes, size_t t, size_t h, __m256 zero)
{
    const uint8_t *p = codes + (bits == 8 ? t / 4 * 64 : 0) + 32 * h;
    const long long shift = (long long)(bits == 8 ? t % 4 * 8 : t % 4 * 8 + t / 4 * 4);
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);
    v = _mm256_srl_epi32(v, _mm_cvtsi64_si128(shift));
    v = _mm256_and_si256(v, _mm256_set1_epi32(bits == 8 ? 255 : 15));
    return _mm256_sub_ps(_mm256_cvtepi32_ps(v), zero);
}

INLINE void add(const size_t mr, const unsigned bits, const uint8_t *codes, size_t t,
                const __m256 zero[2], const float *x, size_t ldx, __m256 acc[4][2])
{
    const __m256 a = term(bits, codes, t, 0, zero[0]), b = term(bits, codes, t, 1, zero[1]);
#pragma GCC unroll 4
    for (size_t r = 0; r < mr; r++) {
        const __m256 v = _mm256_set1_ps(x[r * ldx + t]);
        acc[r][0] = _mm256_fmadd_ps(a, v, acc[r][0]);
        acc[r][1] = _mm256_fmadd_ps(b, v, acc[r][1]);
    }
}

INLINE void tile(const size_t mr, const size_t np, const unsigned bits, const int zeros,
                 const tile_args *a)
{
    (void)np; /* one */
    const sqz_blockw *w = a->w;
    const uint8_t *at = (const uint8_t *)w->data + a->panel * w->panel;
    const uint8_t *zp = sqz_blockw_zeros(w, at);
    const float *x = a->x + a->row * a->ldx;
    __m256 sum[4][2], zero[2] = {_mm256_set1_ps((float)w->zero), _mm256_set1_ps((float)w->zero)};
#pragma GCC unroll 4
    for (size_t r = 0; r < mr; r++)
        sum[r][0] = sum[r][1] = _mm256_setzero_ps();
    for (size_t b = 0, left = w->k; b < w->n_block; b++, zp += SQZ_PANEL) {
        const size_t len = left < w->block ? left : w->block;
        const float *scale = (const float *)(const void *)at;
        __m256 acc[4][2];
        left -= len;
        at += SQZ_PANEL * sizeof(float);
        for (size_t h = 0; zeros && h < 2; h++)
            zero[h] = _mm256_cvtepi32_ps(
                _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(zp + 8 * h))));
#pragma GCC unroll 4
        for (size_t r = 0; r < mr; r++)
            acc[r][0] = acc[r][1] = _mm256_setzero_ps();
        size_t i = 0;
        for (; i + 8 <= len; i += 8, x += 8, at += SQZ_PANEL * bits)
#pragma GCC unroll 8
            for (size_t t = 0; t < 8; t++)
                add(mr, bits, at, t, zero, x, a->ldx, acc);
        for (size_t t = 0; i + t < len; t++) /* the last terms of all */
            add(mr, bits, at, t, zero, x, a->ldx, acc);
#pragma GCC unroll 4
        for (size_t r = 0; r < mr; r++)
#pragma GCC unroll 2
            for (size_t h = 0; h < 2; h++)
                sum[r][h] = _mm256_fmadd_ps(acc[r][h], _mm256_loadu_ps(scale + 8 * h), sum[r][h]);
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < mr; r++)
        store(a, r, 0, sum[r]);
}

void sqz_blockw_f32_avx2(const sqz_blockw *w, size_t begin, size_t end, size_t m, const float *x,
                         size_t ldx, float *y, size_t ldy)
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
