/* dwconv_s8: one pixel of a depthwise convolution, all channels. The specification. */
#include "kernels/kernels.h"

void sqz_dwconv_s8_scalar(size_t n, size_t taps, const int8_t *const *x, const void *packed,
                          int32_t *c)
{
    size_t panel = (1 + (taps + 3) / 4) * 4 * SQZ_PANEL;
    for (size_t j = 0; j < n; j++) {
        const int8_t *w = (const int8_t *)packed + j / SQZ_PANEL * panel + 4 * SQZ_PANEL;
        int32_t acc = 0;
        for (size_t t = 0; t < taps; t++)
            acc += x[t][j] * w[t / 4 * 4 * SQZ_PANEL + j % SQZ_PANEL * 4 + t % 4];
        c[j] = acc;
    }
}
