/* blockw_s8: rows of int8 codes by blocks, times weights of 4 or 8 bits by blocks. */
#include "kernels/kernels.h"

static int32_t code(const sqz_blockw *w, const uint8_t *codes, size_t lane, size_t t)
{
    if (w->bits == 8)
        return codes[(t / 4 * SQZ_PANEL + lane) * 4 + t % 4];
    return codes[(t / 8 * SQZ_PANEL + lane) * 4 + t % 4] >> (t % 8 / 4 * 4) & 15;
}

/* Output j of row r. */
static float sum(const sqz_blockw *w, size_t j, const sqz_block_rows *x, size_t r)
{
    const uint8_t *panel = (const uint8_t *)w->data + j / SQZ_PANEL * w->panel, *at = panel;
    const uint8_t *zeros = sqz_blockw_zeros(w, panel);
    const size_t lane = j % SQZ_PANEL;
    float y = 0;
    for (size_t b = 0; b < w->n_block; b++) {
        const float *scale = (const float *)(const void *)at;
        const size_t len = sqz_blockw_len(w, b), i = r * w->n_block + b;
        const int8_t *q = x->q + i * w->block;
        int32_t acc = x->less[i] * (w->zeros ? zeros[b * SQZ_PANEL + lane] : w->zero);
        at += SQZ_PANEL * sizeof *scale;
        for (size_t t = 0; t < len; t++)
            acc += code(w, at, lane, t) * q[t];
        y = __builtin_fmaf((float)acc, scale[lane] * x->scale[i], y);
        at += SQZ_PANEL * w->bits / 8 * len;
    }
    return y;
}

void sqz_blockw_s8_scalar(const sqz_blockw *w, size_t begin, size_t end, const sqz_block_rows *x,
                          float *y, size_t ldy)
{
    for (size_t r = 0; r < x->m; r++)
        for (size_t j = begin; j < end; j++)
            y[r * ldy + j] = sum(w, j, x, r);
}
