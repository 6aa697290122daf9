/* affine_f32, 4 at a time. */
#include "kernels/vec_neon.h"

#include "kernels/affine_f32.h"

void sqz_affine_f32_neondot(size_t rows, size_t n, size_t ld, const float *x, const float *from,
                            const float *factor, const float *shift, float *y)
{
    affine_f32(rows, n, ld, x, from, factor, shift, y);
}
