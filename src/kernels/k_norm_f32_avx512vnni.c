/* norm_f32, 16 at a time. */
#include "kernels/vec_avx512.h"

#include "kernels/norm_f32.h"

void sqz_norm_f32_avx512vnni(const sqz_row_norm *p, size_t rows, const float *x, float *y,
                             float *mean, float *inverse)
{
    norm_f32(p, rows, x, y, mean, inverse);
}
