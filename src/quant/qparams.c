/* qparams.c: see qparams.h. */
#include "quant/qparams.h"
#include "ir/qround.h"
#include <math.h>

void sqz_qparams_s8(sqz_range r, float *scale, int32_t *zero, bool *degenerate)
{
    double lo = fmin((double)r.lo, 0.0), hi = fmax((double)r.hi, 0.0);
    bool bad = !isfinite(r.lo) || !isfinite(r.hi) || !(hi > lo);
    *scale = 1.0f;
    *zero = 0;
    if (degenerate)
        *degenerate = bad;
    if (bad)
        return;
    *scale = fmaxf((float)((hi - lo) / 255.0), SQZ_SCALE_MIN);
    double z = nearbyint(-128.0 - lo / (double)*scale);
    *zero = (int32_t)fmin(fmax(z, -128.0), 127.0);
}

float sqz_qparams_sym(float amax, int limit)
{
    if (!(amax > 0.0f) || !isfinite(amax))
        return 1.0f;
    return fmaxf((float)((double)amax / limit), SQZ_SCALE_MIN);
}

float sqz_bias_scale(float x_scale, float w_scale)
{
    return (float)((double)x_scale * (double)w_scale);
}

int32_t sqz_quantize_one(float x, float scale, int32_t zero, int32_t lo, int32_t hi)
{
    return sqz_qround(x, scale, zero, lo, hi);
}
