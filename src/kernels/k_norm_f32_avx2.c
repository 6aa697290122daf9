/* norm_f32, 8 at a time. */
#include "kernels/vec_avx2.h"

#include "kernels/norm_f32.h"

void sqz_norm_f32_avx2(const sqz_row_norm *p, size_t rows, const float *x, float *y, float *mean,
                       float *inverse)
{
    norm_f32(p, rows, x, y, mean, inverse);
}
