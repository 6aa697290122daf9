/* wino_in, one channel of one tile at a time. */
#include "kernels/kernels.h"
#include <math.h>

/* B^T d for six samples, in the points 0, +-a, +-b and infinity: the values of the dual of a
 * polynomial product (Lavin & Gray 2016; other points than theirs, see ops/winograd.c). */
static void points4(const float d[6], float v[6])
{
    const float a = SQZ_WINO_PA, b = SQZ_WINO_PB, aa = a * a, bb = b * b;
    const float even_a = fmaf(-bb, d[2], d[4]), odd_a = fmaf(-bb, d[1], d[3]);
    const float even_b = fmaf(-aa, d[2], d[4]), odd_b = fmaf(-aa, d[1], d[3]);
    v[0] = fmaf(aa * bb, d[0], fmaf(-(aa + bb), d[2], d[4]));
    v[1] = fmaf(a, odd_a, even_a);
    v[2] = fmaf(-a, odd_a, even_a);
    v[3] = fmaf(b, odd_b, even_b);
    v[4] = fmaf(-b, odd_b, even_b);
    v[5] = fmaf(aa * bb, d[1], fmaf(-(aa + bb), d[3], d[5]));
}

static void points2(const float d[4], float v[4]) /* 0, +-1 and infinity */
{
    v[0] = d[2] - d[0];
    v[1] = d[2] + d[1];
    v[2] = d[2] - d[1];
    v[3] = d[3] - d[1];
}

static void tile(const sqz_wino_in *s, size_t k, size_t ch)
{
    const size_t t = s->m + 2;
    void (*points)(const float *, float *) = s->m == 4 ? points4 : points2;
    float half[SQZ_WINO_T][SQZ_WINO_T], d[SQZ_WINO_T], v[SQZ_WINO_T];
    for (size_t j = 0; j < t; j++) {
        const ptrdiff_t x = s->first + (ptrdiff_t)(k * s->m + j);
        for (size_t i = 0; i < t; i++)
            d[i] = x < 0 || x >= s->width ? 0 : s->line[i][(size_t)x * s->c + ch];
        points(d, v);
        for (size_t i = 0; i < t; i++)
            half[i][j] = v[i];
    }
    for (size_t i = 0; i < t; i++) {
        points(half[i], v);
        for (size_t j = 0; j < t; j++)
            s->v[(i * t + j) * s->plane + k * s->ld + ch] = v[j];
    }
}

void sqz_wino_in_scalar(const sqz_wino_in *s)
{
    for (size_t k = 0; k < s->n_tile; k++)
        for (size_t ch = 0; ch < s->c; ch++)
            tile(s, k, ch);
}
