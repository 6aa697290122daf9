/* qparams.c: see qparams.h. */
#include "quant/qparams.h"
#include "ir/qround.h"
#include "quant/wscale.h"
#include <math.h>

bool sqz_qparams(const sqz_qspec *spec, sqz_range r, float *scale, int32_t *zero)
{
    const double lo = fmin((double)r.lo, 0.0), hi = fmax((double)r.hi, 0.0);
    *scale = 1.0f;
    *zero = 0;
    if (!isfinite(r.lo) || !isfinite(r.hi) || !(hi > lo))
        return false;
    const double wide = spec->symmetric ? fmax(-lo, hi) / spec->hi
                                        : (hi - lo) / ((double)spec->hi - spec->lo);
    *scale = fmaxf((float)wide, SQZ_SCALE_MIN);
    if (spec->pow2)
        *scale = sqz_scale_pow2(*scale);
    if (spec->symmetric)
        return true;
    const double z = nearbyint(spec->lo - lo / (double)*scale);
    *zero = (int32_t)fmin(fmax(z, spec->lo), spec->hi);
    return true;
}

void sqz_qparams_s8(sqz_range r, float *scale, int32_t *zero, bool *degenerate)
{
    const sqz_qspec spec = {.lo = -128, .hi = 127};
    const bool fine = sqz_qparams(&spec, r, scale, zero);
    if (degenerate)
        *degenerate = !fine;
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
