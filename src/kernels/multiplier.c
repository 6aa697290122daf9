/* multiplier.c: see multiplier.h. */
#include "kernels/multiplier.h"
#include <math.h>

#define LARGEST 1073741824.0 /* 2^30 */

void sqz_multiplier(double m, int32_t *mult, int32_t *shift)
{
    int e = 0;
    *mult = *shift = 0;
    if (!(m >= ldexp(1, -32))) /* |acc| * m < 1/2 for every int32 */
        return;
    if (m >= LARGEST - 1) { /* what is just below would round up to it */
        *mult = INT32_MAX;
        *shift = 30;
        return;
    }
    double q = nearbyint(frexp(m, &e) * 2147483648.0); /* m = f * 2^e, f in [1/2, 1) */
    if (q >= 2147483648.0) {                           /* f rounded up to 1 */
        q = LARGEST;
        e++;
    }
    *mult = (int32_t)q;
    *shift = e;
}
