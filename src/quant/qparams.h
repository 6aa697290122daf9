/* qparams.h: ranges to grids. The one place where scales and zero points are made, with one
 * rounding. */
#ifndef SQZ_QPARAMS_H
#define SQZ_QPARAMS_H
#include "ir/graph.h"

#define SQZ_SCALE_MIN 5.9604644775390625e-8f /* 2^-24: 1/scale stays finite */

typedef struct sqz_qspec {
    int32_t lo, hi;       /* codes */
    bool symmetric, pow2; /* zero point 0; a scale that is a power of two */
} sqz_qspec;
/* The grid of activations: range widened to contain 0; scale = (hi-lo) / (codes - 1), zero =
 * round(lowest code - lo/scale), so 0 is on the grid and lo, hi are at most half a step off it.
 * Symmetric: scale = max(-lo, hi) / highest code. A power of two is the next that is not below. A
 * degenerate range (empty, or not finite) gives scale 1, zero 0, and false. */
bool sqz_qparams(const sqz_qspec *spec, sqz_range r, float *scale, int32_t *zero);
/* Asymmetric int8: range widened to contain 0; scale = (hi-lo)/255; zero = round(-128 - lo/scale),
 * so 0 is on the grid and lo, hi are at most half a step off it. A degenerate range (empty, or not
 * finite) gives scale 1, zero 0 and sets *degenerate; `degenerate` may be NULL. */
void sqz_qparams_s8(sqz_range r, float *scale, int32_t *zero, bool *degenerate);
/* Symmetric narrow [-limit, limit], limit 127 for int8: scale = amax/limit, at least SQZ_SCALE_MIN;
 * 1 when amax is 0 or not finite. */
float sqz_qparams_sym(float amax, int limit);
/* Scale of the int32 bias of y = sum(x * w) + b. The product of two floats is exact in double, so
 * this is also what a float multiplication gives: every reader of the file gets the same bits. */
float sqz_bias_scale(float x_scale, float w_scale);
/* q = clamp(round_half_even(x/scale) + zero, lo, hi); NaN gives the zero point. */
int32_t sqz_quantize_one(float x, float scale, int32_t zero, int32_t lo, int32_t hi);
#endif
