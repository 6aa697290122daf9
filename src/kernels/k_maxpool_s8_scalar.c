/* maxpool_s8: the largest tap of each channel. */
#include "kernels/kernels.h"

void sqz_maxpool_s8_scalar(const sqz_taps *w, const int8_t *x, int8_t *y)
{
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy)
        for (size_t j = 0; j < w->n; j++) {
            int8_t best = INT8_MIN;
            for (size_t ky = 0; ky < w->ny; ky++)
                for (size_t kx = 0; kx < w->nx; kx++) {
                    const int8_t v = x[ky * w->line + kx * w->next + j];
                    best = v > best ? v : best;
                }
            y[j] = best;
        }
}
