/* blockw_f32: rows of floats times weights of 4 or 8 bits by blocks. */
#include "kernels/kernels.h"

static int32_t code(const sqz_blockw *w, const uint8_t *codes, size_t lane, size_t t)
{
    if (w->bits == 8)
        return codes[(t / 4 * SQZ_PANEL + lane) * 4 + t % 4];
    return codes[(t / 8 * SQZ_PANEL + lane) * 4 + t % 4] >> (t % 8 / 4 * 4) & 15;
}

/* Output j of a row. */
static float sum(const sqz_blockw *w, size_t j, const float *x)
{
    const uint8_t *panel = (const uint8_t *)w->data + j / SQZ_PANEL * w->panel, *at = panel;
    const uint8_t *zeros = sqz_blockw_zeros(w, panel);
    const size_t lane = j % SQZ_PANEL;
    float y = 0;
    for (size_t b = 0; b < w->n_block; b++) {
        const float *scale = (const float *)(const void *)at;
        const size_t from = b * w->block, len = sqz_blockw_len(w, b);
        const int32_t zero = w->zeros ? zeros[b * SQZ_PANEL + lane] : w->zero;
        float inner = 0;
        at += SQZ_PANEL * sizeof *scale;
        for (size_t t = 0; t < len && from + t < w->k; t++)
            inner = __builtin_fmaf(x[from + t], (float)(code(w, at, lane, t) - zero), inner);
        y = __builtin_fmaf(inner, scale[lane], y);
        at += SQZ_PANEL * w->bits / 8 * len;
    }
    return y;
}

void sqz_blockw_f32_scalar(const sqz_blockw *w, size_t begin, size_t end, size_t m, const float *x,
                           size_t ldx, float *y, size_t ldy)
{
    for (size_t r = 0; r < m; r++)
        for (size_t j = begin; j < end; j++)
            y[r * ldy + j] = sum(w, j, x + r * ldx);
}
