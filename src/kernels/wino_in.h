/* wino_in.h: the input transform V = B^T d B of Winograd's convolution on vectors of channels. A
 * kernel file defines vec, WIDTH, LOAD, STORE (`n` lanes), SET, ADD, SUB, FMA (a*b + c) and FNMA
 * (c - a*b), then includes this. Columns are transformed first, into a buffer in the first-level
 * cache: neighboring tiles share two of them, and every pixel is read once. */
#include "kernels/tile.h"

enum { RUN = 8, COLUMNS = 4 * RUN + 2 }; /* tiles that go through the buffer together */

/* Points 0, +-a, +-b and infinity of the polynomial product: six samples to six values. */
INLINE void points4(const vec d[6], vec v[6])
{
    const vec a = SET(SQZ_WINO_PA), b = SET(SQZ_WINO_PB), aa = SET(SQZ_WINO_PA * SQZ_WINO_PA),
              bb = SET(SQZ_WINO_PB * SQZ_WINO_PB),
              sum = SET(SQZ_WINO_PA * SQZ_WINO_PA + SQZ_WINO_PB * SQZ_WINO_PB),
              product = SET(SQZ_WINO_PA * SQZ_WINO_PA * SQZ_WINO_PB * SQZ_WINO_PB);
    const vec even_a = FNMA(bb, d[2], d[4]), odd_a = FNMA(bb, d[1], d[3]);
    const vec even_b = FNMA(aa, d[2], d[4]), odd_b = FNMA(aa, d[1], d[3]);
    v[0] = FMA(product, d[0], FNMA(sum, d[2], d[4]));
    v[1] = FMA(a, odd_a, even_a);
    v[2] = FNMA(a, odd_a, even_a);
    v[3] = FMA(b, odd_b, even_b);
    v[4] = FNMA(b, odd_b, even_b);
    v[5] = FMA(product, d[1], FNMA(sum, d[3], d[5]));
}

/* Points 0, 1, -1 and infinity. */
INLINE void points2(const vec d[4], vec v[4])
{
    v[0] = SUB(d[2], d[0]);
    v[1] = ADD(d[2], d[1]);
    v[2] = SUB(d[2], d[1]);
    v[3] = SUB(d[3], d[1]);
}

INLINE void points(const size_t m, const vec *d, vec *v)
{
    if (m == 4)
        points4(d, v);
    else
        points2(d, v);
}

/* Column x of the strip, from channel ch on. */
INLINE void column(const size_t m, const sqz_wino_in *s, ptrdiff_t x, size_t ch, size_t n,
                   float *out)
{
    vec d[SQZ_WINO_T], v[SQZ_WINO_T];
    if (x < 0 || x >= s->width) {
        for (size_t i = 0; i < m + 2; i++)
            STORE(out + i * COLUMNS * WIDTH, SET(0), WIDTH);
        return;
    }
    const size_t at = (size_t)x * s->c + ch;
#pragma GCC unroll 6
    for (size_t i = 0; i < m + 2; i++)
        d[i] = LOAD(s->line[i] + at, n);
    points(m, d, v);
#pragma GCC unroll 6
    for (size_t i = 0; i < m + 2; i++)
        STORE(out + i * COLUMNS * WIDTH, v[i], WIDTH);
}

/* Line i of the transformed columns under n_tile tiles. */
INLINE void row(const size_t m, const sqz_wino_in *s, size_t n_tile, size_t n, const float *in,
                float *out)
{
    vec d[SQZ_WINO_T], v[SQZ_WINO_T];
    d[m] = LOAD(in, WIDTH);
    d[m + 1] = LOAD(in + WIDTH, WIDTH);
    in += (size_t)2 * WIDTH;
    for (size_t k = 0; k < n_tile; k++, in += m * WIDTH, out += s->ld) {
        d[0] = d[m];
        d[1] = d[m + 1];
#pragma GCC unroll 4
        for (size_t j = 0; j < m; j++)
            d[2 + j] = LOAD(in + j * WIDTH, WIDTH);
        points(m, d, v);
#pragma GCC unroll 6
        for (size_t j = 0; j < m + 2; j++)
            STORE(out + j * s->plane, v[j], n);
    }
}

INLINE void channels(const size_t m, const sqz_wino_in *s, size_t ch, size_t n)
{
    float buffer[SQZ_WINO_T * COLUMNS * WIDTH] __attribute__((aligned(64)));
    for (size_t k = 0; k < s->n_tile; k += RUN) {
        const size_t left = s->n_tile - k, n_tile = left < RUN ? left : RUN;
        const ptrdiff_t x = s->first + (ptrdiff_t)(k * m);
        for (size_t j = 0; j < n_tile * m + 2; j++)
            column(m, s, x + (ptrdiff_t)j, ch, n, buffer + j * WIDTH);
        for (size_t i = 0; i < m + 2; i++)
            row(m, s, n_tile, n, buffer + i * COLUMNS * WIDTH,
                s->v + i * (m + 2) * s->plane + k * s->ld + ch);
    }
}

INLINE void strip(const size_t m, const sqz_wino_in *s)
{
    size_t ch = 0;
    for (; ch + WIDTH <= s->c; ch += WIDTH)
        channels(m, s, ch, WIDTH);
    if (ch < s->c)
        channels(m, s, ch, s->c - ch);
}
