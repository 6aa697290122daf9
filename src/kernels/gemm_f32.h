/* gemm_f32.h: gemm_f32 on vectors of the width of a vec_<isa>.h, which a kernel file includes. It
 * defines ROWS and VECTORS, the most that a tile has, includes this, makes the tiles with TILE and
 * lists them by shapes. */
#include "kernels/tile.h"
#include <math.h>
#include <stdbool.h>

typedef struct product { /* what stays the same for all tiles of a group of panels */
    const sqz_left *l;
    const sqz_out_f32 *o;
    const float *w;     /* first panel of the group */
    size_t panel;       /* floats */
    size_t column, end; /* outputs of the group */
} product;

/* Of the outputs from j on that one vector holds, how many there are. */
INLINE size_t part(const product *q, size_t j)
{
    return j >= q->end ? 0 : q->end - j < VW ? q->end - j : VW;
}

/* Sums with something to add take this way, one for all shapes of tiles: `sums` are rows of
 * vectors, those of the product from row r0 on. y may be what is added. */
static void add_and_store(const product *q, size_t rows, size_t vectors, size_t r0,
                          float sums[ROWS][VECTORS * VW])
{
    const sqz_out_f32 *o = q->o;
    for (size_t v = 0; v < vectors; v++) {
        const size_t j = q->column + v * VW, n = part(q, j);
        for (size_t r = 0; r < rows; r++) {
            vf x = v_load(sums[r] + v * VW);
            if (o->bias)
                x = v_add(x, v_load_n(o->bias + j, n, 0));
            if (o->add)
                x = v_add(x, v_load_n(o->add + (r0 + r) * o->ld_add + j, n, 0));
            x = v_min(v_set(o->hi), v_max(v_set(o->lo), x));
            v_store_n(o->y + (r0 + r) * o->ld + j, x, n);
        }
    }
}

/* Results from row r0 on. The second operand of max and min is the result when one is a NaN. */
INLINE void store(const size_t rows, const size_t vectors, const product *q, size_t r0,
                  const vf sum[ROWS][VECTORS])
{
    const sqz_out_f32 o = *q->o;
    const bool adds = o.bias || o.add, whole = adds || q->end - q->column >= vectors * VW;
    const vf lo = v_set(adds ? -INFINITY : o.lo), hi = v_set(adds ? INFINITY : o.hi);
    float sums[ROWS][VECTORS * VW];
    float *y = adds ? sums[0] : o.y + r0 * o.ld + q->column;
    const size_t ld = adds ? VECTORS * VW : o.ld;
#pragma GCC unroll 10
    for (size_t r = 0; r < rows; r++, y += ld)
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++) {
            const vf x = v_min(hi, v_max(lo, sum[r][v]));
            if (whole)
                v_store(y + v * VW, x);
            else
                v_store_n(y + v * VW, x, part(q, q->column + v * VW));
        }
    if (adds)
        add_and_store(q, rows, vectors, r0, sums);
}

/* Vector v of the panels of a group, as they lie. */
INLINE vf weights(const float *w, size_t panel, size_t v)
{
    const size_t each = SQZ_PANEL / VW;
    return v_load(w + v / each * panel + v % each * VW);
}

/* Rows `first` .. of the product, which begin at row[], of that many vectors. */
INLINE void tile(const size_t rows, const size_t vectors, const product *q,
                 const char *const row[ROWS], size_t first)
{
    vf sum[ROWS][VECTORS];
    const char *at[ROWS];
    const size_t panel = q->panel;
    const float *w = q->w;
#pragma GCC unroll 10
    for (size_t r = 0; r < rows; r++) {
        at[r] = row[r];
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++)
            sum[r][v] = weights(w, panel, v);
    }
    w += SQZ_PANEL;
    for (size_t s = 0; s < q->l->n_seg; s++) {
        size_t t = q->l->seg[s], end = t + q->l->len * sizeof(float);
        for (; t < end; t += sizeof(float), w += SQZ_PANEL) {
            vf b[VECTORS];
#pragma GCC unroll 8
            for (size_t v = 0; v < vectors; v++)
                b[v] = weights(w, panel, v);
#pragma GCC unroll 10
            for (size_t r = 0; r < rows; r++) {
                const vf x = v_set(*(const float *)(const void *)(at[r] + t));
#pragma GCC unroll 8
                for (size_t v = 0; v < vectors; v++)
                    sum[r][v] = v_fma(x, b[v], sum[r][v]);
            }
        }
    }
    store(rows, vectors, q, first, sum);
}

typedef void (*tile_fn)(const product *q, const char *const row[ROWS], size_t first);
#define TILE(rows, vectors)                                                                        \
    static void tile_##rows##_##vectors(const product *q, const char *const row[ROWS],             \
                                        size_t first)                                              \
    {                                                                                              \
        tile(rows, vectors, q, row, first);                                                        \
    }

typedef struct shape { /* of a group of panels: the tiles by rows */
    size_t vectors, most;
    tile_fn tile[ROWS];
} shape;

/* All rows of one group of panels, in tiles whose sizes differ by at most one. */
static void group(const product *q, const shape *s)
{
    const sqz_left *l = q->l;
    const char *row[ROWS];
    row_walk at = {.line = l->a};
    const size_t n_tile = (l->m + s->most - 1) / s->most;
    for (size_t i = 0, t = 0; t < n_tile; t++) {
        const size_t rows = (l->m - i) / (n_tile - t);
        next_rows(l, &at, rows, row);
        s->tile[rows - 1](q, row, i);
        i += rows;
    }
}

/* shapes: the narrowest first; `widest` of them for all groups but the last ones. */
static void gemm_f32(const shape *shapes, const shape *widest, const sqz_packed *w, size_t begin,
                     size_t end, const sqz_left *l, const sqz_out_f32 *o)
{
    product q = {.l = l, .o = o, .panel = (1 + l->n_seg * l->len) * SQZ_PANEL, .end = end};
    for (q.column = begin; q.column < end;) {
        const shape *s = widest;
        while (s > shapes && (end - q.column <= s[-1].vectors * VW ||
                              end - q.column <= (s->vectors * VW - 1) / SQZ_PANEL * SQZ_PANEL))
            s--; /* a panel that is not there is not read */
        q.w = (const float *)w->data + q.column / SQZ_PANEL * q.panel;
        group(&q, s);
        q.column += s->vectors * VW;
    }
}
