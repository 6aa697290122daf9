/* dwconv_s8: one pixel of a depthwise convolution, all channels. The specification. */
#include "kernels/kernels.h"

void sqz_dwconv_s8_scalar(const sqz_packed_v1 *w, const int8_t *const *x, int32_t *c)
{
    size_t panel = (1 + (w->k + 3) / 4) * 4 * SQZ_PANEL;
    for (size_t j = 0; j < w->n; j++) {
        const int8_t *b = (const int8_t *)w->data + j / SQZ_PANEL * panel + 4 * SQZ_PANEL;
        int32_t acc = 0;
        for (size_t t = 0; t < w->k; t++)
            acc += x[t][j] * b[t / 4 * 4 * SQZ_PANEL + j % SQZ_PANEL * 4 + t % 4];
        c[j] = acc;
    }
}
