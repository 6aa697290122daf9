/* norm_f32, one at a time. */
#include "kernels/vec_scalar.h"

#include "kernels/norm_f32.h"

void sqz_norm_f32_scalar(const sqz_row_norm *p, size_t rows, const float *x, float *y, float *mean,
                         float *inverse)
{
    norm_f32(p, rows, x, y, mean, inverse);
}
