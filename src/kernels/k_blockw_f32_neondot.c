/* blockw_f32: codes become floats in registers, and each is used for MR rows. A tile is MR rows x 1
 * panel. */
#include "kernels/kernels.h"
#include <arm_neon.h>
#include <string.h>

#ifdef __OPTIMIZE__ /* sizes of tiles become constants and sums registers */
#    define INLINE static inline __attribute__((always_inline))
#else
#    define INLINE static inline
#endif

typedef struct tile_args {
    const sqz_blockw *w;
    size_t row, panel; /* where the tile begins */
    const float *x;    /* of row 0 */
    float *y;          /* of row 0, output 0 */
    size_t ldx, ldy, end, m;
} tile_args;

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

INLINE void tile(const size_t mr, const unsigned bits, const int zeros, const tile_args *a)
{
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
    const size_t left = a->end - a->panel * SQZ_PANEL;
    for (size_t r = 0; r < mr; r++) {
        float out[SQZ_PANEL];
        for (size_t v = 0; v < 4; v++)
            vst1q_f32(out + 4 * v, sum[r][v]);
        memcpy(a->y + (a->row + r) * a->ldy + a->panel * SQZ_PANEL, out,
               (left < SQZ_PANEL ? left : SQZ_PANEL) * sizeof *out);
    }
}

INLINE void all(const unsigned bits, const int zeros, tile_args *t)
{
    for (; t->panel * SQZ_PANEL < t->end; t->panel++) {
        t->row = 0;
        for (; t->m - t->row >= 4; t->row += 4)
            tile(4, bits, zeros, t);
        for (; t->row < t->m; t->row++)
            tile(1, bits, zeros, t);
    }
}

void sqz_blockw_f32_neondot(const sqz_blockw *w, size_t begin, size_t end, size_t m, const float *x,
                            size_t ldx, float *y, size_t ldy)
{
    tile_args t = {.w = w,
                   .panel = begin / SQZ_PANEL,
                   .x = x,
                   .y = y,
                   .ldx = ldx,
                   .ldy = ldy,
                   .end = end,
                   .m = m};
    if (w->bits == 4 && !w->zeros)
        all(4, 0, &t);
    else if (w->bits == 4)
        all(4, 1, &t);
    else if (!w->zeros)
        all(8, 0, &t);
    else
        all(8, 1, &t);
}
