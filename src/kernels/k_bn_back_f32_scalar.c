/* bn_back_f32, one at a time. */
#include "kernels/vec_scalar.h"

#include "kernels/bn_f32.h"

void sqz_bn_back_f32_scalar(const sqz_bn *p, const float *x, const float *g, const float *slope,
                            const float *rest, float *dx)
{
    bn_back_f32(p, x, g, slope, rest, dx);
}
