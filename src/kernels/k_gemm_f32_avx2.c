/* gemm_f32 with 256-bit fused multiply-adds: tiles whose sums stay in registers over all of k, as
 * many as hide the latency: 6 rows of one panel (two registers), fewer rows of several, or 10 rows
 * of a last panel with at most 8 outputs. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>

#ifdef __OPTIMIZE__ /* sizes of tiles become constants and accumulators registers */
#    define INLINE static inline __attribute__((always_inline))
#else /* a debug build would put every tile on one stack frame */
#    define INLINE static
#endif

enum { LANES = 8, ROWS = 10, VECTORS = 8 };

typedef struct product { /* what stays the same for all tiles of a group of panels */
    const sqz_left *l;
    const sqz_out_f32 *o;
    const float *w;     /* first panel of the group */
    size_t panel;       /* floats */
    size_t column, end; /* outputs of the group */
} product;

/* Lanes of 8 outputs from j on that there are. */
static __m256i lanes(const product *q, size_t j)
{
    static const int32_t valid[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
    const size_t n = j >= q->end ? 0 : q->end - j < LANES ? q->end - j : LANES;
    return _mm256_loadu_si256((const __m256i *)(const void *)(valid + LANES - n));
}

/* Sums with something to add take this way, one for all shapes of tiles: `sums` are rows of
 * vectors, those of the product from row r0 on. y may be what is added. */
static void add_and_store(const product *q, size_t rows, size_t vectors, size_t r0,
                          float sums[ROWS][VECTORS * LANES])
{
    const sqz_out_f32 *o = q->o;
    for (size_t v = 0; v < vectors; v++) {
        const size_t j = q->column + v * LANES;
        const __m256i mask = lanes(q, j);
        for (size_t r = 0; r < rows; r++) {
            __m256 x = _mm256_loadu_ps(sums[r] + v * LANES);
            if (o->bias)
                x = _mm256_add_ps(x, _mm256_maskload_ps(o->bias + j, mask));
            if (o->add)
                x = _mm256_add_ps(x, _mm256_maskload_ps(o->add + (r0 + r) * o->ld_add + j, mask));
            x = _mm256_min_ps(_mm256_set1_ps(o->hi), _mm256_max_ps(_mm256_set1_ps(o->lo), x));
            _mm256_maskstore_ps(o->y + (r0 + r) * o->ld + j, mask, x);
        }
    }
}

/* Results from row r0 on. The second operand of max and min is the result when one is a NaN. */
INLINE void store(const size_t rows, const size_t vectors, const product *q, size_t r0,
                  __m256 sum[ROWS][VECTORS])
{
    const sqz_out_f32 o = *q->o;
    const bool adds = o.bias || o.add;
    const __m256 lo = _mm256_set1_ps(adds ? -INFINITY : o.lo);
    const __m256 hi = _mm256_set1_ps(adds ? INFINITY : o.hi);
    float sums[ROWS][VECTORS * LANES];
    float *y = adds ? sums[0] : o.y + r0 * o.ld + q->column;
    const size_t ld = adds ? VECTORS * LANES : o.ld;
    const bool whole = adds || q->end - q->column >= vectors * LANES;
#pragma GCC unroll 10
    for (size_t r = 0; r < rows; r++, y += ld)
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++) {
            const __m256 x = _mm256_min_ps(hi, _mm256_max_ps(lo, sum[r][v]));
            if (whole)
                _mm256_storeu_ps(y + v * LANES, x);
            else
                _mm256_maskstore_ps(y + v * LANES, lanes(q, q->column + v * LANES), x);
        }
    if (adds)
        add_and_store(q, rows, vectors, r0, sums);
}

/* Half panels of a group, as they lie. */
INLINE __m256 half(const float *w, size_t panel, size_t v)
{
    return _mm256_loadu_ps(w + v / 2 * panel + v % 2 * LANES);
}

/* Rows `first` .. of the product, which begin at row[], of that many half panels. */
INLINE void tile(const size_t rows, const size_t vectors, const product *q,
                 const char *const row[ROWS], size_t first)
{
    __m256 sum[ROWS][VECTORS];
    const char *at[ROWS];
    const size_t panel = q->panel;
    const float *w = q->w;
#pragma GCC unroll 10
    for (size_t r = 0; r < rows; r++) {
        at[r] = row[r];
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++)
            sum[r][v] = half(w, panel, v);
    }
    w += SQZ_PANEL;
    for (size_t s = 0; s < q->l->n_seg; s++) {
        size_t t = q->l->seg[s], end = t + q->l->len * sizeof(float);
        for (; t < end; t += sizeof(float), w += SQZ_PANEL) {
            __m256 b[VECTORS];
#pragma GCC unroll 8
            for (size_t v = 0; v < vectors; v++)
                b[v] = half(w, panel, v);
#pragma GCC unroll 10
            for (size_t r = 0; r < rows; r++) {
                const __m256 x = _mm256_broadcast_ss((const float *)(const void *)(at[r] + t));
#pragma GCC unroll 8
                for (size_t v = 0; v < vectors; v++)
                    sum[r][v] = _mm256_fmadd_ps(x, b[v], sum[r][v]);
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
TILE(1, 8)
TILE(1, 4)
TILE(2, 4)
TILE(3, 4)
TILE(1, 2)
TILE(2, 2)
TILE(3, 2)
TILE(4, 2)
TILE(5, 2)
TILE(6, 2)
TILE(1, 1)
TILE(2, 1)
TILE(3, 1)
TILE(4, 1)
TILE(5, 1)
TILE(6, 1)
TILE(7, 1)
TILE(8, 1)
TILE(9, 1)
TILE(10, 1)

typedef struct shape { /* of a group of panels: the tiles by rows */
    size_t vectors, most;
    tile_fn tile[ROWS];
} shape;
static const shape shapes[] = {
    {1,
     10,
     {tile_1_1, tile_2_1, tile_3_1, tile_4_1, tile_5_1, tile_6_1, tile_7_1, tile_8_1, tile_9_1,
      tile_10_1}},
    {2, 6, {tile_1_2, tile_2_2, tile_3_2, tile_4_2, tile_5_2, tile_6_2}},
    {4, 3, {tile_1_4, tile_2_4, tile_3_4}},
    {8, 1, {tile_1_8}},
};

/* All rows of one group of panels, in tiles whose sizes differ by at most one. */
static void group(const product *q, const shape *s)
{
    const sqz_left *l = q->l;
    const char *line = l->a, *row[ROWS];
    size_t column = 0, n_tile = (l->m + s->most - 1) / s->most;
    for (size_t i = 0, t = 0; t < n_tile; t++) {
        size_t rows = (l->m - i) / (n_tile - t);
        for (size_t r = 0; r < rows; r++) {
            row[r] = line + column * l->step;
            if (++column == l->width) {
                column = 0;
                line += l->line;
            }
        }
        s->tile[rows - 1](q, row, i);
        i += rows;
    }
}

void sqz_gemm_f32_avx2(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                       const sqz_out_f32 *o)
{
    product q = {.l = l, .o = o, .panel = (1 + l->n_seg * l->len) * SQZ_PANEL, .end = end};
    const shape *widest = &shapes[l->m == 1 ? 3 : l->m <= 3 ? 2 : 1];
    for (q.column = begin; q.column < end;) {
        const shape *s = widest;
        while (s > shapes && end - q.column <= (s->vectors - 1) * LANES)
            s--;
        q.w = (const float *)w->data + q.column / SQZ_PANEL * q.panel;
        group(&q, s);
        q.column += s->vectors * LANES;
    }
}
