/* multiplier.h: a real factor as the Q31 multiplier and shift of sqz_rt_requant. */
#ifndef SQZ_MULTIPLIER_H
#define SQZ_MULTIPLIER_H
#include <stdint.h>

/* m is about mult * 2^(shift - 31) with mult in [2^30, 2^31), rounded to nearest; docs/numerics.md.
 * Defined for every m: 0, negative, NaN, or so small that it moves no int32 accumulator by half a
 * step gives 0, 0; 2^30 and above, which saturates any accumulator but 0, gives the largest pair.
 */
void sqz_multiplier(double m, int32_t *mult, int32_t *shift);
#endif
