/* avgpool_f32: the mean of the taps of each channel. */
#include "kernels/kernels.h"

void sqz_avgpool_f32_scalar(const sqz_taps *w, float count, const float *x, float *y)
{
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy)
        for (size_t j = 0; j < w->n; j++) {
            float sum = 0, run = 0;
            size_t left = SQZ_AVGPOOL_RUN;
            for (size_t ky = 0; ky < w->ny; ky++)
                for (size_t kx = 0; kx < w->nx; kx++) {
                    run += x[ky * w->line + kx * w->next + j];
                    if (--left == 0) {
                        sum += run;
                        run = 0;
                        left = SQZ_AVGPOOL_RUN;
                    }
                }
            y[j] = (sum + run) / count;
        }
}
