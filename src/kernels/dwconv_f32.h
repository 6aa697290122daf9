/* dwconv_f32.h: the loops of dwconv_f32 over vectors of one width. A file k_dwconv_f32_<isa>.c
 * defines the vectors (VEC, its LOAD, STORE, ADD, FMA and CLAMP; *_PART take the first n lanes) and
 * NAME, and includes this, once for each width that it has.
 *
 * A tile is `rows` x `cols` results whose sums stay in registers; each input is loaded once and
 * goes to all results of the tile that it is under. A strip of columns goes through all channels
 * before the next begins: what tiles share is then in the first-level cache. */

#ifndef STRIP
#    define STRIP ((size_t)16)
#    include "kernels/tile.h"
#    include <stdbool.h>
typedef const float *const *const *f32_lines;

typedef struct dw_f32 { /* all operands; a local copy, which stores to y cannot change */
    f32_lines x;
    size_t line_step, step, n_seg, len, n;
    const float *w;
    size_t panel; /* floats */
    float *y;
    const float *bias, *add;           /* behind the sum; NULL: none */
    size_t ld, line, ld_add, line_add; /* from pixel to pixel and line to line */
    float lo, hi;
} dw_f32;

typedef struct dw_f32_at { /* where a tile is */
    size_t i, j, c;        /* output line, pixel, channel */
    size_t part;           /* channels, when not all lanes */
    const float *panel;    /* of channel c, from its lane on */
} dw_f32_at;
#endif

/* What follows the sums. */
INLINE void NAME(finish)(const bool full, const size_t rows, const size_t cols, const dw_f32 *q,
                         const dw_f32_at *at, VEC sum[2][8])
{
    float *y = q->y + at->i * q->line + at->j * q->ld + at->c;
    if (q->bias) {
        const float *p = q->bias + at->c;
        const VEC bias = full ? LOAD(p) : LOAD_PART(p, at->part);
#pragma GCC unroll 2
        for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 8
            for (size_t j = 0; j < cols; j++)
                sum[i][j] = ADD(sum[i][j], bias);
    }
    if (q->add) {
        const float *add = q->add + at->i * q->line_add + at->j * q->ld_add + at->c;
#pragma GCC unroll 2
        for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 8
            for (size_t j = 0; j < cols; j++) {
                const float *p = add + i * q->line_add + j * q->ld_add;
                sum[i][j] = ADD(sum[i][j], full ? LOAD(p) : LOAD_PART(p, at->part));
            }
    }
#pragma GCC unroll 2
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (size_t j = 0; j < cols; j++) {
            VEC v = CLAMP(sum[i][j], q->lo, q->hi);
            if (full)
                STORE(y + i * q->line + j * q->ld, v);
            else
                STORE_PART(y + i * q->line + j * q->ld, v, at->part);
        }
}

/* A k x k window with stride `step`, all sizes constants. */
INLINE void NAME(tile)(const bool full, const size_t rows, const size_t cols, const size_t k,
                       const size_t step, const dw_f32 *q, const dw_f32_at *at)
{
    const float *w = at->panel + SQZ_PANEL;
    f32_lines x = q->x + at->i * step;
    VEC sum[2][8];
#pragma GCC unroll 2
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (size_t j = 0; j < cols; j++)
            sum[i][j] = LOAD(at->panel);
#pragma GCC unroll 8
    for (size_t r = 0; r < (rows - 1) * step + k; r++) {
        const float *const *px = x[r] + at->j * step;
#pragma GCC unroll 16
        for (size_t u = 0; u < (cols - 1) * step + k; u++) {
            const float *p = px[u] + at->c;
            VEC v = full ? LOAD(p) : LOAD_PART(p, at->part);
#pragma GCC unroll 2
            for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 8
                for (size_t j = 0; j < cols; j++) /* below 0 wraps to large */
                    if (r - i * step < k && u - j * step < k)
                        sum[i][j] = FMA(v,
                                        LOAD(w + SQZ_PANEL * ((r - i * step) * k + u - j * step)),
                                        sum[i][j]);
        }
    }
    NAME(finish)(full, rows, cols, q, at, sum);
}

/* Any window, `cols` pixels of a line. */
INLINE void NAME(tile_any)(const bool full, const size_t cols, const dw_f32 *q, const dw_f32_at *at)
{
    const float *w = at->panel + SQZ_PANEL;
    f32_lines x = q->x + at->i * q->line_step;
    VEC sum[2][8];
#pragma GCC unroll 8
    for (size_t j = 0; j < cols; j++)
        sum[0][j] = LOAD(at->panel);
    for (size_t s = 0; s < q->n_seg; s++)
        for (size_t t = 0; t < q->len; t++, w += SQZ_PANEL) {
            const float *const *px = x[s] + at->j * q->step + t;
            VEC f = LOAD(w);
#pragma GCC unroll 8
            for (size_t j = 0; j < cols; j++) {
                const float *p = px[j * q->step] + at->c;
                sum[0][j] = FMA(full ? LOAD(p) : LOAD_PART(p, at->part), f, sum[0][j]);
            }
        }
    NAME(finish)(full, 1, cols, q, at, sum);
}

/* Columns at.j .. end of one line. */
INLINE void NAME(columns_any)(const bool full, const dw_f32 *q, dw_f32_at at, size_t end)
{
    for (; at.j + 8 <= end; at.j += 8)
        NAME(tile_any)(full, 8, q, &at);
    for (; at.j + 2 <= end; at.j += 2)
        NAME(tile_any)(full, 2, q, &at);
    if (at.j < end)
        NAME(tile_any)(full, 1, q, &at);
}

/* The same, once in the object file: full or part. By value: an operand whose address is known
 * elsewhere would be read again after every store. */
static __attribute__((noinline)) void NAME(rest)(bool full, dw_f32 q, dw_f32_at at, size_t end)
{
    if (full)
        NAME(columns_any)(true, &q, at, end);
    else
        NAME(columns_any)(false, &q, at, end);
}

/* Columns at.j .. end of some lines and channels. k 0: any window, one line. */
INLINE void NAME(columns)(const bool full, const size_t rows, const size_t k, const size_t step,
                          const dw_f32 *q, dw_f32_at at, size_t end)
{
    for (; k && at.j + 4 <= end; at.j += 4)
        NAME(tile)(full, rows, 4, k, step, q, &at);
    if (k == 3 && end - at.j == 3) { /* small images have few columns: worth the code */
        NAME(tile)(full, rows, 3, k, step, q, &at);
        return;
    }
    if (k && at.j + 2 <= end) {
        NAME(tile)(full, rows, 2, k, step, q, &at);
        at.j += 2;
    }
    if (k == 3 && at.j < end) {
        NAME(tile)(full, rows, 1, k, step, q, &at);
        return;
    }
    for (size_t i = 0; i < rows && at.j < end; i++, at.i++)
        NAME(rest)(full, *q, at, end);
}
