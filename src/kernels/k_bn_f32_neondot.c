/* bn_f32, 4 at a time. */
#include "kernels/vec_neon.h"

#include "kernels/bn_f32.h"

void sqz_bn_f32_neondot(const sqz_bn *p, const float *x, float *y) { bn_f32(p, x, y); }
