/* quantize_s8: float to int8. Clamped before the conversion, so that it is defined for every x. */
#include "kernels/kernels.h"
#include <math.h>

void sqz_quantize_s8_scalar(size_t n, const float *x, float scale, int32_t zero, int8_t *q)
{
    const float lo = (float)(-128 - zero), hi = (float)(127 - zero);
    for (size_t i = 0; i < n; i++) {
        float v = x[i] / scale;
        v = v != v ? 0.0f : v; /* NaN */
        v = v < lo ? lo : v > hi ? hi : v;
        q[i] = (int8_t)((int32_t)nearbyintf(v) + zero); /* half to even */
    }
}
