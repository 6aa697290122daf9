/* blockw_s8 with sdot, both of whose sides are signed: halves of bytes fit, bytes are moved by 128
 * and so is the zero point. A tile is MR rows x 1 panel. */
#include "kernels/vec_neon.h"
#define BLOCKW_PANELS   1
#define BLOCKW_TILES(M) M(4, 1) M(1, 1)
#include "kernels/blockw.h"

/* Adds the 8 terms of a row that begin at q; outputs 4v .. 4v+3. */
INLINE void step(const size_t mr, const unsigned bits, const uint8_t *codes, const int8_t *q,
                 size_t ldq, int32x4_t acc[4][4])
{
#pragma GCC unroll 4
    for (size_t v = 0; v < 4; v++) {
        const uint8x16_t c = vld1q_u8(codes + 16 * v), flip = vdupq_n_u8(0x80);
        const uint8x16_t a = bits == 8 ? veorq_u8(c, flip) : vandq_u8(c, vdupq_n_u8(15));
        const uint8x16_t b = bits == 8 ? veorq_u8(vld1q_u8(codes + 64 + 16 * v), flip)
                                       : vshrq_n_u8(c, 4);
#pragma GCC unroll 4
        for (size_t r = 0; r < mr; r++) {
            const int8x8_t x = vld1_s8(q + r * ldq);
            acc[r][v] = vdotq_lane_s32(acc[r][v], vreinterpretq_s8_u8(a), x, 0);
            acc[r][v] = vdotq_lane_s32(acc[r][v], vreinterpretq_s8_u8(b), x, 1);
        }
    }
}

INLINE void start(const size_t mr, const unsigned bits, const int zeros, const tile_args *t,
                  const uint8_t *zero, size_t at, int32x4_t acc[4][4])
{
#pragma GCC unroll 4
    for (size_t v = 0; v < 4; v++) {
        int32_t z[4];
        for (size_t i = 0; i < 4; i++)
            z[i] = (zeros ? zero[4 * v + i] : t->w->zero) - (bits == 8 ? 128 : 0);
#pragma GCC unroll 4
        for (size_t r = 0; r < mr; r++)
            acc[r][v] = vmulq_n_s32(vld1q_s32(z), t->rows->less[at + r * t->w->n_block]);
    }
}

INLINE void tile(const size_t mr, const size_t np, const unsigned bits, const int zeros,
                 const tile_args *t)
{
    (void)np; /* one */
    const sqz_blockw *w = t->w;
    const size_t n_block = w->n_block, ldq = n_block * w->block;
    const uint8_t *at = (const uint8_t *)w->data + t->panel * w->panel;
    const uint8_t *zero = sqz_blockw_zeros(w, at);
    float32x4_t sum[4][4];
#pragma GCC unroll 4
    for (size_t r = 0; r < mr; r++)
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; v++)
            sum[r][v] = vdupq_n_f32(0);
    for (size_t b = 0; b < n_block; b++, zero += SQZ_PANEL) {
        const size_t len = sqz_blockw_len(w, b), i = t->row * n_block + b;
        const int8_t *q = t->rows->q + t->row * ldq + b * w->block;
        const float *scale = (const float *)(const void *)at;
        int32x4_t acc[4][4];
        start(mr, bits, zeros, t, zero, i, acc);
        at += SQZ_PANEL * sizeof *scale;
        for (size_t j = 0; j < len; j += 8, at += SQZ_PANEL * bits)
            step(mr, bits, at, q + j, ldq, acc);
#pragma GCC unroll 4
        for (size_t r = 0; r < mr; r++)
#pragma GCC unroll 4
            for (size_t v = 0; v < 4; v++) {
                const float32x4_t s = vmulq_n_f32(vld1q_f32(scale + 4 * v),
                                                  t->rows->scale[i + r * n_block]);
                sum[r][v] = vfmaq_f32(sum[r][v], vcvtq_f32_s32(acc[r][v]), s);
            }
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < mr; r++)
        store(t, r, 0, sum[r]);
}

void sqz_blockw_s8_neondot(const sqz_blockw *w, size_t begin, size_t end, const sqz_block_rows *x,
                           float *y, size_t ldy)
{
    blockw(&(tile_args){
        .w = w, .panel = begin / SQZ_PANEL, .rows = x, .y = y, .ldy = ldy, .end = end, .m = x->m});
}
