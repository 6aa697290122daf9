/* minmax_f32: a comparison with NaN is false, so NaN are skipped. */
#include "kernels/kernels.h"
#include <math.h>

void sqz_minmax_f32_scalar(const float *x, size_t n, float *lo, float *hi)
{
    float least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    *lo = least;
    *hi = most;
}
