/* avgpool_s8: the mean of the taps of each channel on another grid: the runtime's arithmetic. */
#include "kernels/kernels.h"

void sqz_avgpool_s8_scalar(const sqz_taps *w, const sqz_average_s8 *a, const int8_t *x, int8_t *y)
{
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy)
        for (size_t j = 0; j < w->n; j++) {
            int32_t sum = a->start;
            for (size_t ky = 0; ky < w->ny; ky++)
                for (size_t kx = 0; kx < w->nx; kx++)
                    sum += x[ky * w->line + kx * w->next + j];
            y[j] = sqz_rt_small_to_s8(sum, a->mult, a->shift, a->zero, INT8_MIN, INT8_MAX);
        }
}
