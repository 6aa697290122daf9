/* moments_f32, 4 at a time. */
#include "kernels/vec_neon.h"

#include "kernels/moments_f32.h"

void sqz_moments_f32_neondot(size_t rows, size_t n, size_t ld, const float *x, const float *from,
                             float *first, float *second)
{
    moments_f32(rows, n, ld, x, from, first, second);
}
