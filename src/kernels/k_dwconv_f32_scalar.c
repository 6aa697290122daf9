/* dwconv_f32: one pixel of a depthwise convolution, all channels. */
#include "kernels/kernels.h"

void sqz_dwconv_f32_scalar(size_t n, size_t taps, const float *const *x, const float *const *w,
                           const float *bias, float *y)
{
    for (size_t j = 0; j < n; j++)
        y[j] = bias ? bias[j] : 0.0f;
    for (size_t t = 0; t < taps; t++)
        for (size_t j = 0; j < n; j++)
            y[j] += x[t][j] * w[t][j];
}
