/* gemm_f32 with NEON: a panel is four registers; tiles of 5 rows of a panel, or 8 of a half one,
 * leave registers for the weights and for a number of each row. */
#include "kernels/kernels.h"
#include <arm_neon.h>
#include <math.h>
#include <stdbool.h>

#ifdef __OPTIMIZE__ /* sizes of tiles become constants and accumulators registers */
#    define INLINE static inline __attribute__((always_inline))
#else /* a debug build would put every tile on one stack frame */
#    define INLINE static
#endif

enum { LANES = 4, ROWS = 8, VECTORS = 8 };

typedef struct product { /* what stays the same for all tiles of a group of panels */
    const sqz_left *l;
    const sqz_out_f32 *o;
    const float *w;     /* first panel of the group */
    size_t panel;       /* floats */
    size_t column, end; /* outputs of the group */
} product;

/* A sum becomes a result. Comparisons, as vmaxq would take the other operand of a NaN. */
INLINE float32x4_t clamp(float32x4_t v, float lo, float hi)
{
    const float32x4_t l = vdupq_n_f32(lo), h = vdupq_n_f32(hi);
    v = vbslq_f32(vcltq_f32(v, l), l, v);
    return vbslq_f32(vcgtq_f32(v, h), h, v);
}

/* Sums with something to add and those of a part of a vector take this way: `sums` are rows of
 * vectors, those of the product from row r0 on. y may be what is added. */
static void finish(const product *q, size_t rows, size_t vectors, size_t r0,
                   float sums[ROWS][VECTORS * LANES])
{
    const sqz_out_f32 *o = q->o;
    const size_t all = vectors * LANES, left = q->end - q->column, n = left < all ? left : all;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) {
            const size_t j = q->column + i;
            float v = sums[r][i];
            if (o->bias)
                v += o->bias[j];
            if (o->add)
                v += o->add[(r0 + r) * o->ld_add + j];
            v = v < o->lo ? o->lo : v;
            o->y[(r0 + r) * o->ld + j] = v > o->hi ? o->hi : v;
        }
}

/* Results from row r0 on. */
INLINE void store(const size_t rows, const size_t vectors, const product *q, size_t r0,
                  float32x4_t sum[ROWS][VECTORS])
{
    const sqz_out_f32 o = *q->o;
    const bool plain = !o.bias && !o.add && q->end - q->column >= vectors * LANES;
    float sums[ROWS][VECTORS * LANES];
    float *y = plain ? o.y + r0 * o.ld + q->column : sums[0];
    const size_t ld = plain ? o.ld : VECTORS * LANES;
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++, y += ld)
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++)
            vst1q_f32(y + v * LANES, plain ? clamp(sum[r][v], o.lo, o.hi) : sum[r][v]);
    if (!plain)
        finish(q, rows, vectors, r0, sums);
}

/* Quarters of the panels of a group, as they lie. */
INLINE float32x4_t quarter(const float *w, size_t panel, size_t v)
{
    return vld1q_f32(w + v / 4 * panel + v % 4 * LANES);
}

/* Rows `first` .. of the product, which begin at row[], of that many vectors. */
INLINE void tile(const size_t rows, const size_t vectors, const product *q,
                 const char *const row[ROWS], size_t first)
{
    float32x4_t sum[ROWS][VECTORS];
    const char *at[ROWS];
    const size_t panel = q->panel;
    const float *w = q->w;
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        at[r] = row[r];
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++)
            sum[r][v] = quarter(w, panel, v);
    }
    w += SQZ_PANEL;
    for (size_t s = 0; s < q->l->n_seg; s++) {
        size_t t = q->l->seg[s], end = t + q->l->len * sizeof(float);
        for (; t < end; t += sizeof(float), w += SQZ_PANEL) {
            float32x4_t b[VECTORS];
#pragma GCC unroll 8
            for (size_t v = 0; v < vectors; v++)
                b[v] = quarter(w, panel, v);
#pragma GCC unroll 8
            for (size_t r = 0; r < rows; r++) {
                const float32x4_t x = vld1q_dup_f32((const float *)(const void *)(at[r] + t));
#pragma GCC unroll 8
                for (size_t v = 0; v < vectors; v++)
                    sum[r][v] = vfmaq_f32(sum[r][v], x, b[v]);
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
#define UP_TO_5(vectors)                                                                           \
    TILE(1, vectors)                                                                               \
    TILE(2, vectors)                                                                               \
    TILE(3, vectors)                                                                               \
    TILE(4, vectors)                                                                               \
    TILE(5, vectors)
#define FROM_1(vectors)                                                                            \
    tile_1_##vectors, tile_2_##vectors, tile_3_##vectors, tile_4_##vectors, tile_5_##vectors
UP_TO_5(2)
TILE(6, 2)
TILE(7, 2)
TILE(8, 2)
UP_TO_5(4)
TILE(1, 8)
TILE(2, 8)

typedef struct shape { /* of a group of panels: the tiles by rows */
    size_t vectors, most;
    tile_fn tile[ROWS];
} shape;
static const shape shapes[] = {
    {2, 8, {FROM_1(2), tile_6_2, tile_7_2, tile_8_2}},
    {4, 5, {FROM_1(4)}},
    {8, 2, {tile_1_8, tile_2_8}}, /* few rows: loads of weights one behind the other */
};

/* All rows of one group of panels, in tiles whose sizes differ by at most one. */
static void group(const product *q, const shape *s)
{
    const sqz_left *l = q->l;
    const char *line = l->a, *row[ROWS];
    size_t column = 0, n_tile = (l->m + s->most - 1) / s->most;
    for (size_t i = 0, t = 0; t < n_tile; t++) {
        const size_t rows = (l->m - i) / (n_tile - t);
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

void sqz_gemm_f32_neondot(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                          const sqz_out_f32 *o)
{
    product q = {.l = l, .o = o, .panel = (1 + l->n_seg * l->len) * SQZ_PANEL, .end = end};
    for (q.column = begin; q.column < end;) {
        const shape *s = &shapes[l->m <= 2 ? 2 : 1];
        while (s > shapes && end - q.column <= s[-1].vectors * LANES)
            s--;
        q.w = (const float *)w->data + q.column / SQZ_PANEL * q.panel;
        group(&q, s);
        q.column += s->vectors * LANES;
    }
}
