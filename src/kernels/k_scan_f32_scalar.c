/* scan_f32: adding +0 turns -0 into it, so that ends are the same bits everywhere. */
#include "kernels/kernels.h"
#include <math.h>

int sqz_scan_f32_scalar(const float *x, size_t n, float limit, float *lo, float *hi,
                        uint64_t *zeros)
{
    float least = INFINITY, most = -INFINITY;
    uint64_t none = 0, bad = 0;
    for (size_t i = 0; i < n; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
        none += x[i] == 0.0f;
        bad += !(fabsf(x[i]) <= limit);
    }
    *lo = least + 0.0f;
    *hi = most + 0.0f;
    *zeros = none;
    return bad == 0;
}
