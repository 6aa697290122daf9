/* dequantize_s8: codes to real numbers. */
#include "kernels/kernels.h"

void sqz_dequantize_s8_scalar(size_t n, const int8_t *x, float scale, int32_t zero, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = scale * (float)(x[i] - zero);
}
