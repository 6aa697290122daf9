/* wino_out.h: the output transform y = A^T m A of Winograd's convolution on vectors of channels,
 * with bias, residual and clamp. What a kernel file defines before it includes this: see wino_in.h,
 * and MUL, MIN and MAX, which return their second argument where it is a NaN. */
#include "kernels/tile.h"

/* Six values at the points 0, +-a, +-b and infinity to four outputs. */
INLINE void outputs4(const vec m[6], vec y[4])
{
    const vec a = SET(SQZ_WINO_PA), b = SET(SQZ_WINO_PB), aa = SET(SQZ_WINO_PA * SQZ_WINO_PA),
              bb = SET(SQZ_WINO_PB * SQZ_WINO_PB),
              aaa = SET(SQZ_WINO_PA * SQZ_WINO_PA * SQZ_WINO_PA),
              bbb = SET(SQZ_WINO_PB * SQZ_WINO_PB * SQZ_WINO_PB);
    const vec even_a = ADD(m[1], m[2]), odd_a = SUB(m[1], m[2]);
    const vec even_b = ADD(m[3], m[4]), odd_b = SUB(m[3], m[4]);
    y[0] = ADD(m[0], ADD(even_a, even_b));
    y[1] = FMA(a, odd_a, MUL(b, odd_b));
    y[2] = FMA(aa, even_a, MUL(bb, even_b));
    y[3] = FMA(aaa, odd_a, FMA(bbb, odd_b, m[5]));
}

/* Four values at the points 0, 1, -1 and infinity to two outputs. */
INLINE void outputs2(const vec m[4], vec y[2])
{
    y[0] = ADD(m[0], ADD(m[1], m[2]));
    y[1] = ADD(m[3], SUB(m[1], m[2]));
}

INLINE void outputs(const size_t m, const vec *p, vec *y)
{
    if (m == 4)
        outputs4(p, y);
    else
        outputs2(p, y);
}

/* One line of a tile: `cols` pixels at `at`, `n` channels from ch on. */
INLINE void store_line(const size_t m, const sqz_wino_out *s, const vec *v, size_t cols, size_t ch,
                       size_t n, size_t at)
{
    const vec bias = LOAD(s->bias + ch, n);
    vec y[4];
    outputs(m, v, y);
#pragma GCC unroll 4
    for (size_t j = 0; j < m; j++) {
        if (j >= cols)
            return;
        const size_t pixel = at + j * s->pixel;
        vec sum = ADD(y[j], bias);
        if (s->more)
            sum = ADD(sum, LOAD(s->more + ch, n));
        if (s->add)
            sum = ADD(sum, LOAD(s->add + pixel, n));
        STORE(s->y + pixel, MIN(SET(s->hi), MAX(SET(s->lo), sum)), n);
    }
}

/* Tile k of the strip, `n` channels from ch on. */
INLINE void tile(const size_t m, const sqz_wino_out *s, size_t k, size_t ch, size_t n)
{
    const float *in = s->prod + k * s->ld + ch;
    const size_t left = s->cols - k * m, cols = left < m ? left : m;
    vec column[SQZ_WINO_T], half[4][SQZ_WINO_T];
#pragma GCC unroll 6
    for (size_t j = 0; j < m + 2; j++) {
        vec y[4];
#pragma GCC unroll 6
        for (size_t i = 0; i < m + 2; i++)
            column[i] = LOAD(in + (i * (m + 2) + j) * s->plane, n);
        outputs(m, column, y);
#pragma GCC unroll 4
        for (size_t i = 0; i < m; i++)
            half[i][j] = y[i];
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < m; i++)
        if (i < s->rows)
            store_line(m, s, half[i], cols, ch, n, i * s->line + k * m * s->pixel + ch);
}

INLINE void strip(const size_t m, const sqz_wino_out *s)
{
    for (size_t k = 0; k < s->n_tile; k++) {
        size_t ch = 0;
        for (; ch + WIDTH <= s->c; ch += WIDTH)
            tile(m, s, k, ch, WIDTH);
        if (ch < s->c)
            tile(m, s, k, ch, s->c - ch);
    }
}
