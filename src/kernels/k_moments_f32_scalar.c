/* moments_f32, one at a time. */
#include "kernels/vec_scalar.h"

#include "kernels/moments_f32.h"

void sqz_moments_f32_scalar(size_t rows, size_t n, size_t ld, const float *x, const float *from,
                            float *first, float *second)
{
    moments_f32(rows, n, ld, x, from, first, second);
}
