/* qround.h: the one rounding of values, real number -> grid point, low enough for every layer;
 * docs/numerics.md has the formula. */
#ifndef SQZ_QROUND_H
#define SQZ_QROUND_H
#include <math.h>
#include <stdint.h>

/* q = clamp(round_half_even(x / scale) + zero, lo, hi); NaN gives the zero point. The division is a
 * float one, as ONNX QuantizeLinear has it. */
static inline int32_t sqz_qround(float x, float scale, int32_t zero, int32_t lo, int32_t hi)
{
    double r = (double)nearbyintf(x / scale) + zero; /* exact where it is inside lo .. hi */
    if (isnan(r))
        r = zero;
    return r <= lo ? lo : r >= hi ? hi : (int32_t)r;
}
#endif
