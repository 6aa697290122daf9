/* bn_f32, one at a time. */
#include "kernels/vec_scalar.h"

#include "kernels/bn_f32.h"

void sqz_bn_f32_scalar(const sqz_bn *p, const float *x, float *y) { bn_f32(p, x, y); }
