/* sqz_rt_requant.c: from 32-bit accumulators to the output's grid. Two roundings, as documented. */
#include "runtime/sqz_rt.h"

/* floor(v / 2^n); C99 leaves >> of a negative number to the compiler, ~v is not negative. */
static int64_t floor_shift(int64_t v, int32_t n) { return v >= 0 ? v >> n : ~(~v >> n); }

static int32_t shift_left_saturating(int32_t v, int32_t n)
{
    int64_t wide = (int64_t)v * ((int64_t)1 << n);
    return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

/* round(v / 2^n), halves away from zero: 0 <= n <= 31. */
static int32_t shift_right_rounding(int32_t v, int32_t n)
{
    uint32_t mask = ((uint32_t)1 << n) - 1, rest = (uint32_t)v & mask;
    uint32_t half = (mask >> 1) + (v < 0 ? 1u : 0u);
    return (int32_t)floor_shift(v, n) + (rest > half ? 1 : 0);
}

int32_t sqz_rt_requant(int32_t acc, int32_t mult, int32_t shift)
{
    int32_t v = shift > 0 ? shift_left_saturating(acc, shift) : acc;
    /* high half of 2 * v * mult, halves up; mult >= 0, so it fits and never saturates */
    int32_t high = (int32_t)floor_shift((int64_t)v * mult + ((int64_t)1 << 30), 31);
    return shift < 0 ? shift_right_rounding(high, -shift) : high;
}

int8_t sqz_rt_to_s8(int32_t acc, int32_t mult, int32_t shift, int32_t zero, int32_t lo, int32_t hi)
{
    int32_t v = sqz_rt_requant(acc, mult, shift);
    if (v < lo - zero) /* compare before adding: v + zero may not fit */
        return (int8_t)lo;
    return (int8_t)(v > hi - zero ? hi : v + zero);
}

int8_t sqz_rt_small_to_s8(int32_t v, int32_t mult, int32_t shift, int32_t zero, int32_t lo,
                          int32_t hi)
{
    if (shift < -24) /* |v| * 2^-25 is below a half */
        return sqz_rt_to_s8(0, 0, 0, zero, lo, hi);
    return sqz_rt_to_s8(v * 128, mult, shift - 7, zero, lo, hi);
}
