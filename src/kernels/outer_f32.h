/* outer_f32.h: the body of outer_f32 for the instruction set of the vec_<isa>.h that is included
 * before it. A tile of terms x vectors of outputs keeps its sums in registers over all rows. The
 * file defines MOST_1 .. MOST_4: most terms of a tile of 1 .. 4 vectors; 0: there is none. */
#include "kernels/tile.h"

typedef struct outer_at { /* a tile: its operands and sums; columns of the last vector */
    const float *a, *b;
    float *sum;
    size_t part;
} outer_at;

INLINE void tile(const size_t m, const size_t nv, const sqz_outer *o, const outer_at *at)
{
    const size_t part = at->part, width = o->width, step_a = o->step_a, step_b = o->step_b;
    vf s[24][4], v[4];
#pragma GCC unroll 24
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 4
        for (size_t p = 0; p < nv; p++) {
            const float *from = at->sum + i * o->ld + p * VW;
            s[i][p] = o->fresh ? v_set(0) : p + 1 == nv ? v_load_n(from, part, 0) : v_load(from);
        }
    for (size_t z = 0; z < o->planes; z++)
        for (size_t y = 0; y < o->height; y++) {
            const float *a = at->a + z * o->plane_a + y * o->line_a;
            const float *b = at->b + z * o->plane_b + y * o->line_b;
            for (size_t x = 0; x < width; x++, a += step_a, b += step_b) {
#pragma GCC unroll 4
                for (size_t p = 0; p < nv; p++)
                    v[p] = p + 1 == nv ? v_load_n(b + p * VW, part, 0) : v_load(b + p * VW);
#pragma GCC unroll 24
                for (size_t i = 0; i < m; i++) {
                    const vf f = v_set(a[i]);
#pragma GCC unroll 4
                    for (size_t p = 0; p < nv; p++)
                        s[i][p] = v_fma(f, v[p], s[i][p]);
                }
            }
        }
#pragma GCC unroll 24
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 4
        for (size_t p = 0; p < nv; p++) {
            float *to = at->sum + i * o->ld + p * VW;
            if (p + 1 == nv)
                v_store_n(to, s[i][p], part);
            else
                v_store(to, s[i][p]);
        }
}

typedef void (*tile_fn)(const sqz_outer *o, const outer_at *at);
#define TILE(m, nv)                                                                                \
    static void tile_##m##_##nv(const sqz_outer *o, const outer_at *at) { tile(m, nv, o, at); }
#define TILES_4(nv)  TILE(1, nv) TILE(2, nv) TILE(3, nv) TILE(4, nv)
#define TILES_6(nv)  TILES_4(nv) TILE(5, nv) TILE(6, nv)
#define TILES_8(nv)  TILES_6(nv) TILE(7, nv) TILE(8, nv)
#define TILES_12(nv) TILES_8(nv) TILE(9, nv) TILE(10, nv) TILE(11, nv) TILE(12, nv)
#define TILES_24(nv)                                                                               \
    TILES_12(nv)                                                                                   \
    TILE(13, nv)                                                                                   \
    TILE(14, nv)                                                                                   \
    TILE(15, nv)                                                                                   \
    TILE(16, nv)                                                                                   \
    TILE(17, nv)                                                                                   \
    TILE(18, nv)                                                                                   \
    TILE(19, nv) TILE(20, nv) TILE(21, nv) TILE(22, nv) TILE(23, nv) TILE(24, nv)
#define FROM_4(nv)  tile_1_##nv, tile_2_##nv, tile_3_##nv, tile_4_##nv
#define FROM_6(nv)  FROM_4(nv), tile_5_##nv, tile_6_##nv
#define FROM_8(nv)  FROM_6(nv), tile_7_##nv, tile_8_##nv
#define FROM_12(nv) FROM_8(nv), tile_9_##nv, tile_10_##nv, tile_11_##nv, tile_12_##nv
#define FROM_24(nv)                                                                                \
    FROM_12(nv), tile_13_##nv, tile_14_##nv, tile_15_##nv, tile_16_##nv, tile_17_##nv,             \
        tile_18_##nv, tile_19_##nv, tile_20_##nv, tile_21_##nv, tile_22_##nv, tile_23_##nv,        \
        tile_24_##nv
/* all sizes of tiles are instantiated through these names, so that MOST_n may be macros */
#define PASTE(a, b)      a##b
#define TILES(most, nv)  PASTE(TILES_, most)(nv)
#define LISTED(most, nv) PASTE(FROM_, most)(nv)

typedef struct shape {
    size_t most;
    tile_fn tile[24];
} shape;
TILES(MOST_1, 1)
#if VECTORS > 1
TILES(MOST_2, 2)
#endif
#if VECTORS > 2
TILES(MOST_3, 3)
TILES(MOST_4, 4)
#endif
static const shape shapes[] = {
    {MOST_1, {LISTED(MOST_1, 1)}},
#if VECTORS > 1
    {MOST_2, {LISTED(MOST_2, 2)}},
#endif
#if VECTORS > 2
    {MOST_3, {LISTED(MOST_3, 3)}},
    {MOST_4, {LISTED(MOST_4, 4)}},
#endif
};

/* Both sides in tiles whose sizes differ by at most one. */
V void outer_f32(const sqz_outer *o)
{
    const size_t vectors = (o->n + VW - 1) / VW, groups = (vectors + VECTORS - 1) / VECTORS;
    for (size_t g = 0, first = 0; g < groups; g++) {
        const size_t nv = (vectors - first) / (groups - g), at = first * VW;
        const shape *s = &shapes[nv - 1];
        const size_t end = (first + nv) * VW, n_tile = (o->m + s->most - 1) / s->most;
        outer_at t = {.b = o->b + at, .part = end < o->n ? VW : o->n - (end - VW)};
        for (size_t i = 0, k = 0; k < n_tile; k++) {
            const size_t m = (o->m - i) / (n_tile - k);
            t.a = o->a + i;
            t.sum = o->sum + i * o->ld + at;
            s->tile[m - 1](o, &t);
            i += m;
        }
        first += nv;
    }
}
