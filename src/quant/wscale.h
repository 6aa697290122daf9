/* wscale.h: the scale of a list of weights that share one, on the symmetric codes -limit..limit. */
#ifndef SQZ_WSCALE_H
#define SQZ_WSCALE_H
#include "base/base.h"

typedef enum sqz_wrule {
    SQZ_W_MINMAX, /* max|w| / limit: nothing is cut off */
    SQZ_W_MSE, /* least sum of |w - Q(w)|^2.4 over shrunk scales (the norm of Frantar et al. 2022)
                */
    SQZ_W_LSQ  /* 2 mean|w| / sqrt(limit), where training starts (Esser et al. 2020) */
} sqz_wrule;

/* From the magnitudes |w|, which are finite. Never above max|w| / limit (with `pow2` the next power
 * of two), at least SQZ_SCALE_MIN; 1 for zeros. */
float sqz_weight_scale(const float *magnitude, size_t n, int32_t limit, sqz_wrule rule, bool pow2);
/* The power of two that is not below s. */
float sqz_scale_pow2(float s);
/* sum of |w - Q(w)|^2.4 / scale^2.4, to about 1e-4 of it: what SQZ_W_MSE makes small. Stops
 * where it exceeds `most`. */
double sqz_weight_loss(const float *magnitude, size_t n, float scale, int32_t limit, double most);
#endif
