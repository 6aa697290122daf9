/* gemm_f32 in tiles of up to 6 rows x 4 panels whose sums stay in registers over all of k. A last
 * panel of at most 8 outputs runs on 256 bits: processors that do two such operations where they do
 * one of 512 (Zen 4) then waste nothing on 8 or 24 outputs. */
#include "kernels/kernels.h"
#include <immintrin.h>

#ifdef __OPTIMIZE__ /* sizes of tiles become constants and accumulators registers */
#    define INLINE static inline __attribute__((always_inline))
#else /* a debug build would put every tile on one stack frame */
#    define INLINE static
#endif

enum { ROWS = 6, PANELS = 4 };

typedef struct product { /* what stays the same for all tiles of a group of panels */
    const sqz_left *l;
    const sqz_out_f32 *o;
    const float *w;    /* first panel of the group */
    size_t panel;      /* floats */
    size_t column;     /* first output of the group */
    __mmask16 columns; /* outputs of the last panel */
} product;

/* Adds one term: wide panels, and a narrow one behind them. */
INLINE void term(const size_t rows, const size_t wide, const size_t narrow, const size_t panel,
                 const char *const row[ROWS], size_t at, const float *w, __m512 sum[ROWS][PANELS],
                 __m256 low[ROWS])
{
    __m512 v[PANELS];
    __m256 half = narrow ? _mm256_loadu_ps(w + wide * panel) : _mm256_setzero_ps();
#pragma GCC unroll 4
    for (size_t p = 0; p < wide; p++)
        v[p] = _mm512_loadu_ps(w + p * panel);
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        const float *a = (const float *)(const void *)(row[r] + at);
        __m512 x = _mm512_set1_ps(*a);
#pragma GCC unroll 4
        for (size_t p = 0; p < wide; p++)
            sum[r][p] = _mm512_fmadd_ps(x, v[p], sum[r][p]);
        if (narrow)
            low[r] = _mm256_fmadd_ps(wide ? _mm512_castps512_ps256(x) : _mm256_set1_ps(*a), half,
                                     low[r]);
    }
}

/* Sums of the 16 outputs that begin at row r, output j; mask: those that there are. */
INLINE void finish(const sqz_out_f32 *o, size_t r, size_t j, __mmask16 mask, __m512 v)
{
    if (o->bias)
        v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, o->bias + j));
    if (o->add)
        v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, o->add + r * o->ld_add + j));
    /* the second operand is the result when one is a NaN */
    v = _mm512_max_ps(_mm512_set1_ps(o->lo), v);
    v = _mm512_min_ps(_mm512_set1_ps(o->hi), v);
    _mm512_mask_storeu_ps(o->y + r * o->ld + j, mask, v);
}

/* Rows `first` .. of the product, which begin at row[]. */
INLINE void tile(const size_t rows, const size_t wide, const size_t narrow, const product *q,
                 const char *const row[ROWS], size_t first)
{
    __m512 sum[ROWS][PANELS];
    __m256 low[ROWS];
    const size_t panel = q->panel;
    const float *w = q->w;
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < wide; p++)
            sum[r][p] = _mm512_loadu_ps(w + p * panel);
        if (narrow)
            low[r] = _mm256_loadu_ps(w + wide * panel);
    }
    w += SQZ_PANEL;
    const char *at[ROWS];
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
        at[r] = row[r];
    for (size_t s = 0; s < q->l->n_seg; s++) {
        size_t t = q->l->seg[s], end = t + q->l->len * sizeof(float);
        for (; t < end; t += sizeof(float), w += SQZ_PANEL)
            term(rows, wide, narrow, panel, at, t, w, sum, low);
    }
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < wide; p++)
            finish(q->o, first + r, q->column + p * SQZ_PANEL,
                   p + 1 == wide && !narrow ? q->columns : 0xffff, sum[r][p]);
        if (narrow)
            finish(q->o, first + r, q->column + wide * SQZ_PANEL, q->columns,
                   _mm512_castps256_ps512(low[r]));
    }
}

typedef void (*tile_fn)(const product *q, const char *const row[ROWS], size_t first);
#define TILE(rows, wide, narrow)                                                                   \
    static void tile_##rows##_##wide##_##narrow(const product *q, const char *const row[ROWS],     \
                                                size_t first)                                      \
    {                                                                                              \
        tile(rows, wide, narrow, q, row, first);                                                   \
    }
#define PANELS_OF(rows)                                                                            \
    TILE(rows, 0, 1)                                                                               \
    TILE(rows, 1, 0)                                                                               \
    TILE(rows, 1, 1)                                                                               \
    TILE(rows, 2, 0)                                                                               \
    TILE(rows, 2, 1)                                                                               \
    TILE(rows, 3, 0)                                                                               \
    TILE(rows, 3, 1)                                                                               \
    TILE(rows, 4, 0)
PANELS_OF(1)
PANELS_OF(2)
PANELS_OF(3)
PANELS_OF(4)
PANELS_OF(5)
PANELS_OF(6)
#define ROW_OF(rows)                                                                               \
    {                                                                                              \
        tile_##rows##_0_1, tile_##rows##_1_0, tile_##rows##_1_1, tile_##rows##_2_0,                \
            tile_##rows##_2_1, tile_##rows##_3_0, tile_##rows##_3_1, tile_##rows##_4_0             \
    }
static const tile_fn tiles[ROWS][2 * PANELS] = {/* by rows and half panels */
                                                ROW_OF(1), ROW_OF(2), ROW_OF(3),
                                                ROW_OF(4), ROW_OF(5), ROW_OF(6)};

/* All rows of one group of panels, in tiles whose sizes differ by at most one. */
static void group(const product *q, size_t halves)
{
    const sqz_left *l = q->l;
    const char *line = l->a, *row[ROWS];
    size_t column = 0, n_tile = (l->m + ROWS - 1) / ROWS;
    for (size_t i = 0, t = 0; t < n_tile; t++) {
        size_t rows = (l->m - i) / (n_tile - t);
        for (size_t r = 0; r < rows; r++) {
            row[r] = line + column * l->step;
            if (++column == l->width) {
                column = 0;
                line += l->line;
            }
        }
        tiles[rows - 1][halves - 1](q, row, i);
        i += rows;
    }
}

void sqz_gemm_f32_avx512vnni(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                             const sqz_out_f32 *o)
{
    const size_t k = l->n_seg * l->len, half = SQZ_PANEL / 2;
    product q = {.l = l, .o = o, .panel = (1 + k) * SQZ_PANEL};
    /* the panels of a group stay in the second-level cache while the rows pass */
    size_t most = l->m > ROWS ? 640 * 1024 / (q.panel * sizeof(float)) : PANELS;
    most = most < 1 ? 1 : most < PANELS ? most : PANELS;
    for (size_t j = begin; j < end;) {
        size_t left = (end - j + SQZ_PANEL - 1) / SQZ_PANEL, n_group = (left + most - 1) / most;
        size_t wide = left / n_group * SQZ_PANEL, n = end - j < wide ? end - j : wide;
        size_t last = (n - 1) % SQZ_PANEL + 1;
        q.w = (const float *)w->data + j / SQZ_PANEL * q.panel;
        q.column = j;
        q.columns = (__mmask16)(0xffffu >> (SQZ_PANEL - last));
        group(&q, (n + half - 1) / half);
        j += n;
    }
}
