/* requant_neon.h: sqz_rt_requant for right shifts, 4 at a time; only for files that are compiled
 * for NEON. sqrdmulh is its first rounding. */
#ifndef SQZ_REQUANT_NEON_H
#define SQZ_REQUANT_NEON_H
#include "kernels/tile.h"
#include <arm_neon.h>

/* shift <= 0: to the right, halves away from zero. srshl rounds them up; one less below 0 mends it.
 */
static inline int32x4_t requant(int32x4_t v, int32x4_t mult, int32x4_t shift)
{
    int32x4_t high = vqrdmulhq_s32(v, mult);
    int32x4_t below = vshrq_n_s32(vandq_s32(high, shift), 31); /* -1: v < 0 and shift < 0 */
    return vrshlq_s32(vaddq_s32(high, below), shift);
}

/* 16 results as bytes, saturating, with the zero point. */
static inline int8x16_t pack(const int32x4_t r[4], int32_t zero)
{
    const int16x8_t z = vdupq_n_s16((int16_t)zero);
    int16x8_t a = vqaddq_s16(vcombine_s16(vqmovn_s32(r[0]), vqmovn_s32(r[1])), z);
    int16x8_t b = vqaddq_s16(vcombine_s16(vqmovn_s32(r[2]), vqmovn_s32(r[3])), z);
    return vcombine_s8(vqmovn_s16(a), vqmovn_s16(b));
}

/* 16 bytes as four times 4 numbers. */
static inline void widen(int8x16_t x, int32x4_t out[4])
{
    int16x8_t a = vmovl_s8(vget_low_s8(x)), b = vmovl_s8(vget_high_s8(x));
    out[0] = vmovl_s16(vget_low_s16(a));
    out[1] = vmovl_s16(vget_high_s16(a));
    out[2] = vmovl_s16(vget_low_s16(b));
    out[3] = vmovl_s16(vget_high_s16(b));
}
#endif
