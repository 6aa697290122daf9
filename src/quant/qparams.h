/* qparams.h: ranges to grids. The one place where scales and zero points are made, with one
 * rounding. */
#ifndef SQZ_QPARAMS_H
#define SQZ_QPARAMS_H
#include "ir/graph.h"

#define SQZ_SCALE_MIN 5.9604644775390625e-8f /* 2^-24: 1/scale stays finite */

/* Asymmetric int8: range widened to contain 0; scale = (hi-lo)/255; zero = round(-128 - lo/scale).
 * A degenerate range gives scale 1, zero 0 and sets *degenerate. */
void sqz_qparams_s8(sqz_range r, float *scale, int32_t *zero, bool *degenerate);
/* Symmetric narrow [-limit, limit], limit 127 for int8: scale = amax/limit, at least SQZ_SCALE_MIN.
 */
float sqz_qparams_sym(float amax, int limit);
/* q = clamp(round_half_even(x/scale) + zero, lo, hi); NaN gives the zero point. */
int32_t sqz_quantize_one(float x, float scale, int32_t zero, int32_t lo, int32_t hi);
#endif
