/* block_rows: a row of floats to int8 codes, each block with a scale of its own. */
#include "kernels/kernels.h"
#include <math.h>
#include <string.h>

/* The bits of |x| are in the order of |x|, NaN above all. */
static float magnitude(size_t n, const float *x)
{
    uint32_t most = 0;
    float v;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    memcpy(&v, &most, sizeof v);
    return v;
}

static int32_t code(float v)
{
    const float r = rintf(v);
    return r > 127.0f ? 127 : r < -127.0f ? -127 : (int32_t)r;
}

void sqz_block_rows_scalar(size_t k, size_t block, const float *x, int8_t *q, float *scale,
                           int32_t *less)
{
    for (size_t from = 0; from < k; from += block, q += block, scale++, less++) {
        const size_t n = k - from < block ? k - from : block;
        *scale = magnitude(n, x + from) / 127.0f;
        *less = 0;
        memset(q, 0, block);
        for (size_t i = 0; *scale > 0 && *scale < INFINITY && i < n; i++) {
            const int32_t v = code(x[from + i] / *scale);
            q[i] = (int8_t)v;
            *less -= v;
        }
    }
}
