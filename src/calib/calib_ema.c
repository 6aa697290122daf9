/* ema: moving average of the smallest and largest value of each sample, m <- (1-c) m + c v.
 *
 * The histogram keeps the sum from zero, which is exact to merge; dividing by 1 - (1-c)^n gives all
 * samples their share from the start, as Adam's bias correction does (Kingma & Ba 2015). One sample
 * is one step whatever the batch was. */
#include "calib/calib.h"
#include <math.h>

static sqz_status range(sqz_ctx *ctx, const sqz_hist *h, const void *opts, unsigned levels,
                        bool symmetric, sqz_range *out)
{
    (void)ctx;
    (void)opts;
    (void)levels;
    double weight = 1.0 - pow(1.0 - SQZ_HIST_EMA, (double)h->batches);
    *out = (sqz_range){(float)(h->ema_lo / weight), (float)(h->ema_hi / weight)};
    if (symmetric)
        out->lo = -(out->hi = fmaxf(fabsf(out->lo), fabsf(out->hi)));
    return SQZ_OK;
}

const sqz_calib sqz_calib_ema = {
    .info = {.name = "ema", .doc = "moving average of the smallest and largest value of a sample"},
    .range = range,
};
