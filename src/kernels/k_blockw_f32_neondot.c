/* blockw_f32: codes become floats in registers, and each is used for MR rows. A tile is MR rows x 1
 * panel. */
#include "kernels/vec_neon.h"
#define BLOCKW_PANELS   1
#define BLOCKW_TILES(M) M(4, 1) M(1, 1)
#include "kernels/blockw.h"

/* Adds term t of the 8 at `codes`. */
INLINE void add(const size_t mr, const unsigned bits, const uint8_t *codes, size_t t,
                const float32x4_t zero[4], const float *x, size_t ldx, float32x4_t acc[4][4])
{
    const int32_t shift = (int32_t)(bits == 8 ? t % 4 * 8 : t % 4 * 8 + t / 4 * 4);
#pragma GCC unroll 4
    for (size_t v = 0; v < 4; v++) {
        const uint8_t *p = codes + (bits == 8 ? t / 4 * 64 : 0) + 16 * v;
        uint32x4_t c = vshlq_u32(vreinterpretq_u32_u8(vld1q_u8(p)), vdupq_n_s32(-shift));
        c = vandq_u32(c, vdupq_n_u32(bits == 8 ? 255 : 15));
        const float32x4_t f = vsubq_f32(vcvtq_f32_u32(c), zero[v]);
#pragma GCC unroll 4
        for (size_t r = 0; r < mr; r++)
            acc[r][v] = vfmaq_n_f32(acc[r][v], f, x[r * ldx + t]);
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
    float32x4_t sum[4][4], zero[4];
#pragma GCC unroll 4
    for (size_t v = 0; v < 4; v++) {
        zero[v] = vdupq_n_f32((float)w->zero);
#pragma GCC unroll 4
        for (size_t r = 0; r < mr; r++)
            sum[r][v] = vdupq_n_f32(0);
    }
    for (size_t b = 0, left = w->k; b < w->n_block; b++, zp += SQZ_PANEL) {
        const size_t len = left < w->block ? left : w->block;
        const float *scale = (const float *)(const void *)at;
        float32x4_t acc[4][4];
        left -= len;
        at += SQZ_PANEL * sizeof *scale;
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; v++) {
            if (zeros) {
                const float z[4] = {zp[4 * v], zp[4 * v + 1], zp[4 * v + 2], zp[4 * v + 3]};
                zero[v] = vld1q_f32(z);
            }
#pragma GCC unroll 4
            for (size_t r = 0; r < mr; r++)
                acc[r][v] = vdupq_n_f32(0);
        }
        size_t i = 0;
        for (; i + 8 <= len; i += 8, x += 8, at += SQZ_PANEL * bits)
#pragma GCC unroll 8
            for (size_t t = 0; t < 8; t++)
                add(mr, bits, at, t, zero, x, a->ldx, acc);
        for (size_t t = 0; i + t < len; t++) /* the last terms of all */
            add(mr, bits, at, t, zero, x, a->ldx, acc);
#pragma GCC unroll 4
        for (size_t r = 0; r < mr; r++)
#pragma GCC unroll 4
            for (size_t v = 0; v < 4; v++)
                sum[r][v] = vfmaq_f32(sum[r][v], acc[r][v], vld1q_f32(scale + 4 * v));
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < mr; r++)
        store(a, r, 0, sum[r]);
}

void sqz_blockw_f32_neondot(const sqz_blockw *w, size_t begin, size_t end, size_t m, const float *x,
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
