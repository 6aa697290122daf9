/* maxpool_f32: the largest tap of each channel, the first of equal ones; NaN if one is. */
#include "kernels/kernels.h"
#include <math.h>

void sqz_maxpool_f32_scalar(const sqz_taps *w, const float *x, float *y)
{
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy)
        for (size_t j = 0; j < w->n; j++) {
            float best = -INFINITY;
            for (size_t ky = 0; ky < w->ny; ky++)
                for (size_t kx = 0; kx < w->nx; kx++) {
                    const float v = x[ky * w->line + kx * w->next + j];
                    best = v > best || v != v ? v : best;
                }
            y[j] = best != best ? NAN : best; /* one NaN on every processor */
        }
}
