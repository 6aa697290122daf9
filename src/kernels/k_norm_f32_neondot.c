/* norm_f32, 4 at a time. */
#include "kernels/vec_neon.h"

#include "kernels/norm_f32.h"

void sqz_norm_f32_neondot(const sqz_row_norm *p, size_t rows, const float *x, float *y, float *mean,
                          float *inverse)
{
    norm_f32(p, rows, x, y, mean, inverse);
}
