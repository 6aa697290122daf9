/* gemm_f32 in tiles of 6 rows x 4 panels or so, whose sums stay in registers over all of k. A last
 * panel of at most 8 outputs runs on 256 bits: processors that do two such operations where they do
 * one of 512 (Zen 4) then waste nothing on 8 or 24 outputs. */
#include "kernels/tile.h"
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>

enum { ROWS = 10, PANELS = 4, LINE = 64, BLOCK = 64 };

#define CACHE                                                                                      \
    ((size_t)320 << 10) /* bytes of the panels of a group: they and the next ones stay near */

typedef struct product { /* what stays the same for all tiles of a group of panels */
    const sqz_left *l;
    const sqz_out_f32 *o;
    const float *w;    /* first panel of the group */
    size_t panel;      /* floats */
    size_t column;     /* first output of the group */
    __mmask16 columns; /* outputs of the last panel */
    const char *ahead; /* weights that come next */
    size_t step;       /* bytes of them to ask for in every BLOCK terms */
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
#pragma GCC unroll 10
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

/* Sums with something to add take this way, one for all shapes of tiles: `sums` are rows of panels,
 * those of the product from row r0 on. y may be what is added. */
static void add_and_store(const product *q, size_t rows, size_t panels, size_t r0,
                          float sums[ROWS][PANELS * SQZ_PANEL])
{
    const sqz_out_f32 o = *q->o;
    const __m512 lo = _mm512_set1_ps(o.lo), hi = _mm512_set1_ps(o.hi);
    const __mmask16 last = q->columns;
    const size_t column = q->column;
    for (size_t r = 0; r < rows; r++) {
        const float *add = o.add ? o.add + (r0 + r) * o.ld_add + column : NULL;
        float *y = o.y + (r0 + r) * o.ld + column;
        for (size_t p = 0; p < panels; p++) {
            const __mmask16 mask = p + 1 == panels ? last : 0xffff;
            __m512 v = _mm512_loadu_ps(sums[r] + p * SQZ_PANEL);
            if (o.bias)
                v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, o.bias + column + p * SQZ_PANEL));
            if (add)
                v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, add + p * SQZ_PANEL));
            v = _mm512_min_ps(hi, _mm512_max_ps(lo, v));
            _mm512_mask_storeu_ps(y + p * SQZ_PANEL, mask, v);
        }
    }
}

/* Results from row r0 on. The second operand of max and min is the result when one is a NaN. */
INLINE void store(const size_t rows, const size_t wide, const size_t narrow, const product *q,
                  size_t r0, __m512 sum[ROWS][PANELS], __m256 low[ROWS])
{
    const sqz_out_f32 o = *q->o;
    const bool adds = o.bias || o.add;
    const __m512 lo = _mm512_set1_ps(adds ? -INFINITY : o.lo);
    const __m512 hi = _mm512_set1_ps(adds ? INFINITY : o.hi);
    float sums[ROWS][PANELS * SQZ_PANEL];
    float *y = adds ? sums[0] : o.y + r0 * o.ld + q->column;
    const size_t ld = adds ? PANELS * SQZ_PANEL : o.ld;
#pragma GCC unroll 10
    for (size_t r = 0; r < rows; r++, y += ld)
#pragma GCC unroll 4
        for (size_t p = 0; p < wide + narrow; p++) {
            const __mmask16 mask = p + 1 == wide + narrow ? q->columns : 0xffff;
            const __m512 v = p < wide ? sum[r][p] : _mm512_castps256_ps512(low[r]);
            _mm512_mask_storeu_ps(y + p * SQZ_PANEL, mask, _mm512_min_ps(hi, _mm512_max_ps(lo, v)));
        }
    if (adds)
        add_and_store(q, rows, wide + narrow, r0, sums);
}

/* Asks for what a tile will add. */
static void expect(const product *q, size_t rows, size_t panels, size_t r0)
{
    const float *add = q->o->add + r0 * q->o->ld_add + q->column;
    for (size_t r = 0; r < rows; r++, add += q->o->ld_add)
        for (size_t p = 0; p < panels; p++)
            _mm_prefetch(add + p * SQZ_PANEL, _MM_HINT_T0);
}

/* Rows `first` .. of the product, which begin at row[]. */
INLINE void tile(const size_t rows, const size_t wide, const size_t narrow, const product *q,
                 const char *const row[ROWS], size_t first)
{
    __m512 sum[ROWS][PANELS];
    __m256 low[ROWS];
    const size_t panel = q->panel;
    const float *w = q->w;
    if (q->o->add)
        expect(q, rows, wide + narrow, first);
#pragma GCC unroll 10
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < wide; p++)
            sum[r][p] = _mm512_loadu_ps(w + p * panel);
        if (narrow)
            low[r] = _mm256_loadu_ps(w + wide * panel);
    }
    w += SQZ_PANEL;
    const char *at[ROWS], *ahead = q->ahead;
#pragma GCC unroll 10
    for (size_t r = 0; r < rows; r++)
        at[r] = row[r];
    for (size_t s = 0; s < q->l->n_seg; s++) {
        size_t t = q->l->seg[s], end = t + q->l->len * sizeof(float);
        while (t < end) {
            const size_t stop = end - t > BLOCK * sizeof(float) ? t + BLOCK * sizeof(float) : end;
            for (const char *to = ahead + q->step; ahead < to; ahead += LINE)
                _mm_prefetch(ahead, _MM_HINT_T1);
            for (; t < stop; t += sizeof(float), w += SQZ_PANEL)
                term(rows, wide, narrow, panel, at, t, w, sum, low);
        }
    }
    store(rows, wide, narrow, q, first, sum, low);
}

typedef void (*tile_fn)(const product *q, const char *const row[ROWS], size_t first);
#define TILE(rows, wide, narrow)                                                                   \
    static void tile_##rows##_##wide##_##narrow(const product *q, const char *const row[ROWS],     \
                                                size_t first)                                      \
    {                                                                                              \
        tile(rows, wide, narrow, q, row, first);                                                   \
    }
#define UP_TO_6(wide, narrow)                                                                      \
    TILE(1, wide, narrow)                                                                          \
    TILE(2, wide, narrow)                                                                          \
    TILE(3, wide, narrow)                                                                          \
    TILE(4, wide, narrow)                                                                          \
    TILE(5, wide, narrow)                                                                          \
    TILE(6, wide, narrow)
UP_TO_6(0, 1)
TILE(7, 0, 1)
TILE(8, 0, 1)
TILE(9, 0, 1)
TILE(10, 0, 1)
UP_TO_6(1, 0)
TILE(7, 1, 0)
TILE(8, 1, 0)
UP_TO_6(1, 1)
UP_TO_6(2, 0)
UP_TO_6(2, 1)
UP_TO_6(3, 0)
UP_TO_6(3, 1)
UP_TO_6(4, 0)

/* A group of panels and the tiles that it is cut into, by rows: enough sums to hide the latency of
 * two multiplying units. */
typedef struct shape {
    size_t most;
    tile_fn tile[ROWS];
} shape;
#define FROM_1(wide, narrow)                                                                       \
    tile_1_##wide##_##narrow, tile_2_##wide##_##narrow, tile_3_##wide##_##narrow,                  \
        tile_4_##wide##_##narrow, tile_5_##wide##_##narrow, tile_6_##wide##_##narrow
static const shape shapes[2 * PANELS] = {
    /* by half panels */
    {10, {FROM_1(0, 1), tile_7_0_1, tile_8_0_1, tile_9_0_1, tile_10_0_1}},
    {8, {FROM_1(1, 0), tile_7_1_0, tile_8_1_0}},
    {6, {FROM_1(1, 1)}},
    {6, {FROM_1(2, 0)}},
    {6, {FROM_1(2, 1)}},
    {6, {FROM_1(3, 0)}},
    {6, {FROM_1(3, 1)}},
    {6, {FROM_1(4, 0)}},
};

static size_t up(size_t a, size_t b) { return (a + b - 1) / b; }

/* All rows of one group of panels, in tiles whose sizes differ by at most one; meanwhile the next
 * weights, so many bytes, come near. */
static void group(product q, const shape *s, size_t next)
{
    const sqz_left *l = q.l;
    const char *row[ROWS];
    row_walk at = {.line = l->a};
    const size_t n_tile = up(l->m, s->most), blocks = l->n_seg * up(l->len, BLOCK);
    q.step = n_tile > 1 && blocks ? up(next, n_tile * blocks * LINE) * LINE : 0;
    for (size_t i = 0, t = 0; t < n_tile; t++) {
        const size_t rows = (l->m - i) / (n_tile - t);
        next_rows(l, &at, rows, row);
        s->tile[rows - 1](&q, row, i);
        q.ahead += q.step * blocks;
        i += rows;
    }
}

void sqz_gemm_f32_avx512vnni(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                             const sqz_out_f32 *o)
{
    const size_t panel = (1 + l->n_seg * l->len) * SQZ_PANEL, bytes = panel * sizeof(float);
    const size_t n_panel = up(w->n, SQZ_PANEL), half = SQZ_PANEL / 2;
    const size_t fit = CACHE / bytes, most = l->m <= 6 || fit > PANELS ? PANELS : fit ? fit : 1;
    product q = {.l = l, .o = o, .panel = panel};
    for (size_t j = begin; j < end;) {
        const size_t at = j / SQZ_PANEL, left = up(end - j, SQZ_PANEL),
                     panels = left / up(left, most);
        const size_t n = end - j < panels * SQZ_PANEL ? end - j : panels * SQZ_PANEL;
        const size_t rest = n_panel - at - panels, next = rest < panels ? rest : panels;
        q.w = (const float *)w->data + at * panel;
        q.ahead = (const char *)(q.w + panels * panel);
        q.column = j;
        q.columns = (__mmask16)(0xffffu >> (SQZ_PANEL - 1 - (n - 1) % SQZ_PANEL));
        group(q, &shapes[up(n, half) - 1], n_panel * bytes > CACHE ? next * bytes : 0);
        j += n;
    }
}
