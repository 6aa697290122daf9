/* blockw.h: how blockw_f32 and blockw_s8 are cut into tiles of rows x panels. A kernel file
 * includes a vec_<isa>.h, defines BLOCKW_PANELS, the panels that stay in a cache for all rows, and
 * BLOCKW_TILES(M), M(rows, panels) for each tile, the last of one row; includes this and defines
 * tile(). */
#include "kernels/tile.h"

typedef struct tile_args {
    const sqz_blockw *w;
    size_t row, panel; /* where the tile begins */
    const float *x;    /* of row 0, rows ldx apart; or */
    size_t ldx;
    const sqz_block_rows *rows;
    float *y; /* of row 0, output 0 */
    size_t ldy, end, m;
} tile_args;

INLINE void tile(const size_t mr, const size_t np, const unsigned bits, const int zeros,
                 const tile_args *t);

/* The sums of row r, panel p of the tile. */
INLINE void store(const tile_args *t, size_t r, size_t p, const vf v[SQZ_PANEL / VW])
{
    const size_t j = (t->panel + p) * SQZ_PANEL, left = t->end - j;
    float *y = t->y + (t->row + r) * t->ldy + j;
#pragma GCC unroll 4
    for (size_t i = 0; i < SQZ_PANEL / VW; i++)
        if (left >= (i + 1) * VW)
            v_store(y + i * VW, v[i]);
        else if (left > i * VW)
            v_store_n(y + i * VW, v[i], left - i * VW);
}

/* mr rows of `panels` panels. */
INLINE void strip(const size_t mr, const size_t np, const unsigned bits, const int zeros,
                  const tile_args *t, size_t panels)
{
    tile_args a = *t;
    for (; panels >= np; panels -= np, a.panel += np)
        tile(mr, np, bits, zeros, &a);
    for (; np > 1 && panels; panels--, a.panel++)
        tile(mr, 1, bits, zeros, &a);
}

INLINE void all(const unsigned bits, const int zeros, tile_args *t)
{
    const size_t last = (t->end + SQZ_PANEL - 1) / SQZ_PANEL;
    for (; t->panel < last; t->panel += BLOCKW_PANELS) {
        const size_t panels = last - t->panel < BLOCKW_PANELS ? last - t->panel : BLOCKW_PANELS;
        t->row = 0;
#define PASS(mr, np)                                                                               \
    for (; t->m - t->row >= (mr); t->row += (mr))                                                  \
        strip(mr, np, bits, zeros, t, panels);
        BLOCKW_TILES(PASS)
    }
}

/* From t->panel on. */
static void blockw(tile_args *t)
{
    if (t->w->bits == 4 && !t->w->zeros)
        all(4, 0, t);
    else if (t->w->bits == 4)
        all(4, 1, t);
    else if (!t->w->zeros)
        all(8, 0, t);
    else
        all(8, 1, t);
}
