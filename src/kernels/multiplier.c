/* multiplier.c: see multiplier.h. */
#include "kernels/multiplier.h"
#include <math.h>

void sqz_multiplier(double m, int32_t *mult, int32_t *shift)
{
    int e = 0;
    double f = frexp(m, &e);                /* m = f * 2^e, f in [0.5, 1) */
    double q = nearbyint(f * 2147483648.0); /* exact but for the rounding: f has 53 bits */
    if (q >= 2147483648.0) {                /* f rounded up to 1 */
        q = 1073741824.0;
        e++;
    }
    *mult = e < -31 ? 0 : (int32_t)q; /* m < 2^-32: |acc| * m < 1/2 for every int32 */
    *shift = e < -31 ? 0 : e;
    if (!(m > 0))
        *mult = *shift = 0;
}
