/* bn_f32, 16 at a time. */
#include "kernels/vec_avx512.h"

#include "kernels/bn_f32.h"

void sqz_bn_f32_avx512vnni(const sqz_bn *p, const float *x, float *y) { bn_f32(p, x, y); }
