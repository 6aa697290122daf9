/* minmax: everything that was seen. */
#include "calib/calib.h"
#include <math.h>

static sqz_status range(sqz_ctx *ctx, const sqz_hist *h, const void *opts, unsigned levels,
                        bool symmetric, sqz_range *out)
{
    (void)ctx;
    (void)opts;
    (void)levels;
    *out = (sqz_range){h->min, h->max};
    if (symmetric)
        out->lo = -(out->hi = fmaxf(fabsf(h->min), fabsf(h->max)));
    return SQZ_OK;
}

const sqz_calib sqz_calib_minmax = {
    .info = {.name = "minmax", .doc = "smallest and largest value seen"},
    .range = range,
};
