/* wino_out, one channel of one tile at a time. */
#include "kernels/kernels.h"
#include <math.h>

/* A^T m: powers 0 .. 3 of the points 0, +-a, +-b and infinity (k_wino_in_scalar.c). */
static void outputs4(const float m[6], float y[4])
{
    const float a = SQZ_WINO_PA, b = SQZ_WINO_PB;
    const float even_a = m[1] + m[2], odd_a = m[1] - m[2];
    const float even_b = m[3] + m[4], odd_b = m[3] - m[4];
    y[0] = m[0] + (even_a + even_b);
    y[1] = fmaf(a, odd_a, b * odd_b);
    y[2] = fmaf(a * a, even_a, b * b * even_b);
    y[3] = fmaf(a * a * a, odd_a, fmaf(b * b * b, odd_b, m[5]));
}

static void outputs2(const float m[4], float y[2]) /* 0, +-1 and infinity */
{
    y[0] = m[0] + (m[1] + m[2]);
    y[1] = m[3] + (m[1] - m[2]);
}

static void tile(const sqz_wino_out *s, size_t k, size_t ch)
{
    const size_t t = s->m + 2;
    void (*outputs)(const float *, float *) = s->m == 4 ? outputs4 : outputs2;
    float half[4][SQZ_WINO_T], column[SQZ_WINO_T], y[4];
    for (size_t j = 0; j < t; j++) {
        for (size_t i = 0; i < t; i++)
            column[i] = s->prod[(i * t + j) * s->plane + k * s->ld + ch];
        outputs(column, y);
        for (size_t i = 0; i < s->m; i++)
            half[i][j] = y[i];
    }
    for (size_t i = 0; i < s->m && i < s->rows; i++) {
        outputs(half[i], y);
        for (size_t j = 0; j < s->m && k * s->m + j < s->cols; j++) {
            const size_t at = i * s->line + (k * s->m + j) * s->pixel + ch;
            float sum = y[j] + s->bias[ch];
            if (s->more)
                sum += s->more[ch];
            if (s->add)
                sum += s->add[at];
            sum = sum < s->lo ? s->lo : sum;
            s->y[at] = sum > s->hi ? s->hi : sum;
        }
    }
}

void sqz_wino_out_scalar(const sqz_wino_out *s)
{
    for (size_t k = 0; k < s->n_tile; k++)
        for (size_t ch = 0; ch < s->c; ch++)
            tile(s, k, ch);
}
