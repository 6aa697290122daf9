/* gemm_s8 with vpdpbusd, which multiplies u8 by s8 and adds four products to a 32-bit sum. A tile
 * is up to 14 rows x 2 panels, or fewer rows x more panels, whose sums stay in registers over all
 * of k; a last panel of at most 8 outputs runs on 256 bits. Finished tiles go to the output's grid
 * through a buffer in the first-level cache, by rows of 16 with the factors in registers. */
#include "kernels/finish_avx512.h"
#include <string.h>

/* Of more rows, gcc would keep the addresses in vector registers and move them back and forth; with
 * the barrier it loads them, which costs nothing. */
enum { MANY_ROWS = 10 };
enum { ROWS = 14, PANELS = 4, SUMS = 28, GROUP = 4 * 16 }; /* GROUP: bytes of 4 terms of a panel */

/* Accumulators have the type that the instruction works on: with __m512i (of 64-bit lanes), gcc 12
 * copies each of them around every vpdpbusd and runs out of registers. */
typedef int32_t lanes __attribute__((vector_size(64)));
typedef int32_t half_lanes __attribute__((vector_size(32)));

typedef struct product { /* what stays the same for all tiles of a group of panels */
    const sqz_left *l;
    const sqz_out_s8 *o;
    const int8_t *w;    /* first panel of the group */
    size_t panel, span; /* bytes of a panel; of a row's segment, to whole groups of 4 */
    size_t column;      /* first output of the group */
    finish f[PANELS];
    __mmask16 columns; /* outputs of the last panel */
} product;

/* Adds 4 terms: wide panels, and a narrow one behind them. */
INLINE void step(const size_t rows, const size_t wide, const size_t narrow, const size_t panel,
                 const char *const row[ROWS], size_t at, const int8_t *w, lanes sum[ROWS][PANELS],
                 half_lanes low[ROWS])
{
    __m512i v[PANELS];
    __m256i half = narrow ? _mm256_loadu_si256((const void *)(w + wide * panel))
                          : _mm256_setzero_si256();
#pragma GCC unroll 4
    for (size_t p = 0; p < wide; p++)
        v[p] = _mm512_loadu_si512(w + p * panel);
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++) {
        int32_t four;
        memcpy(&four, row[r] + at, 4);
        __m512i x = wide ? _mm512_set1_epi32(four) : _mm512_setzero_si512();
#pragma GCC unroll 4
        for (size_t p = 0; p < wide; p++)
            sum[r][p] = (lanes)_mm512_dpbusd_epi32((__m512i)sum[r][p], x, v[p]);
        if (narrow)
            low[r] = (half_lanes)_mm256_dpbusd_epi32(
                (__m256i)low[r], wide ? _mm512_castsi512_si256(x) : _mm256_set1_epi32(four), half);
    }
}

/* The sums of rows that begin at row[], panel by panel, to out. */
INLINE void tile(const size_t rows, const size_t wide, const size_t narrow, const product *q,
                 const char *const row[ROWS], int32_t *out)
{
    lanes sum[ROWS][PANELS];
    half_lanes low[ROWS];
    const size_t panel = q->panel;
    const int8_t *w = q->w;
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < wide; p++)
            sum[r][p] = (lanes)_mm512_loadu_si512(w + p * panel);
        if (narrow)
            low[r] = (half_lanes)_mm256_loadu_si256((const void *)(w + wide * panel));
    }
    w += GROUP;
    const size_t *seg = q->l->seg, n_seg = q->l->n_seg, span = q->span;
    for (size_t s = 0; s < n_seg; s++)
        for (size_t t = seg[s], end = t + span; t < end; t += 4, w += GROUP) {
            if (rows > MANY_ROWS)
                __asm__ volatile("" ::: "memory");
            step(rows, wide, narrow, panel, row, t, w, sum, low);
        }
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < wide; p++)
            _mm512_store_si512(out + (p * rows + r) * SQZ_PANEL, (__m512i)sum[r][p]);
        if (narrow)
            _mm256_store_si256((void *)(out + (wide * rows + r) * SQZ_PANEL), (__m256i)low[r]);
    }
}

typedef void (*tile_fn)(const product *q, const char *const row[ROWS], int32_t *out);
#define TILE(rows, wide, narrow)                                                                   \
    static void tile_##rows##_##wide##_##narrow(const product *q, const char *const row[ROWS],     \
                                                int32_t *out)                                      \
    {                                                                                              \
        tile(rows, wide, narrow, q, row, out);                                                     \
    }
#define UP_TO_TWO(rows)                                                                            \
    TILE(rows, 0, 1)                                                                               \
    TILE(rows, 1, 0)                                                                               \
    TILE(rows, 1, 1)                                                                               \
    TILE(rows, 2, 0)
#define UP_TO_FOUR(rows)                                                                           \
    UP_TO_TWO(rows)                                                                                \
    TILE(rows, 2, 1)                                                                               \
    TILE(rows, 3, 0)                                                                               \
    TILE(rows, 3, 1)                                                                               \
    TILE(rows, 4, 0)
#define NAMES_TWO(rows) tile_##rows##_0_1, tile_##rows##_1_0, tile_##rows##_1_1, tile_##rows##_2_0
#define NAMES_FOUR(rows)                                                                           \
    NAMES_TWO(rows), tile_##rows##_2_1, tile_##rows##_3_0, tile_##rows##_3_1, tile_##rows##_4_0
UP_TO_FOUR(1)
UP_TO_FOUR(2)
UP_TO_FOUR(3)
UP_TO_FOUR(4)
UP_TO_FOUR(5)
UP_TO_FOUR(6)
UP_TO_TWO(7)
UP_TO_TWO(8)
UP_TO_TWO(9)
UP_TO_TWO(10)
UP_TO_TWO(11)
UP_TO_TWO(12)
UP_TO_TWO(13)
UP_TO_TWO(14)
static const tile_fn tiles[ROWS][2 * PANELS] = {
    /* by rows and half panels */
    {NAMES_FOUR(1)}, {NAMES_FOUR(2)}, {NAMES_FOUR(3)}, {NAMES_FOUR(4)}, {NAMES_FOUR(5)},
    {NAMES_FOUR(6)}, {NAMES_TWO(7)},  {NAMES_TWO(8)},  {NAMES_TWO(9)},  {NAMES_TWO(10)},
    {NAMES_TWO(11)}, {NAMES_TWO(12)}, {NAMES_TWO(13)}, {NAMES_TWO(14)}};

/* All rows of one group of panels, in tiles whose sizes differ by at most one. */
static void group(const product *q, size_t halves, size_t most)
{
    const sqz_left *l = q->l;
    const char *row[ROWS];
    row_walk at = {.line = l->a};
    int32_t out[SUMS * SQZ_PANEL] __attribute__((aligned(64)));
    size_t n_tile = (l->m + most - 1) / most, panels = (halves + 1) / 2;
    int8_t *y = q->o->y + q->column;
    for (size_t i = 0, t = 0; t < n_tile; t++) {
        size_t rows = (l->m - i) / (n_tile - t);
        next_rows(l, &at, rows, row);
        tiles[rows - 1][halves - 1](q, row, out);
        for (size_t p = 0; p < panels; p++)
            finish_rows(&q->f[p], rows, out + p * rows * SQZ_PANEL, SQZ_PANEL, y + p * SQZ_PANEL,
                        q->o->ld, p + 1 < panels ? 0xffff : q->columns);
        y += rows * q->o->ld;
        i += rows;
    }
}

void sqz_gemm_s8_avx512vnni(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                            const sqz_out_s8 *o)
{
    const size_t quads = (l->len + 3) / 4, half = SQZ_PANEL / 2;
    product q = {.l = l, .o = o, .panel = (1 + l->n_seg * quads) * GROUP, .span = 4 * quads};
    /* few rows: more panels side by side, or the sums would wait for each other */
    const size_t most = l->m > 6 ? 2 : PANELS;
    for (size_t j = begin; j < end;) {
        size_t left = (end - j + SQZ_PANEL - 1) / SQZ_PANEL, n_group = (left + most - 1) / most;
        size_t panels = (left + n_group - 1) / n_group, n = panels * SQZ_PANEL;
        n = end - j < n ? end - j : n;
        size_t last = (n - 1) % SQZ_PANEL + 1;
        q.w = (const int8_t *)w->data + j / SQZ_PANEL * q.panel;
        q.column = j;
        q.columns = (__mmask16)(0xffffu >> (SQZ_PANEL - last));
        for (size_t p = 0; p < panels; p++)
            q.f[p] = finish_of(o->rq, j + p * SQZ_PANEL, p + 1 < panels ? 0xffff : q.columns);
        group(&q, (n + half - 1) / half, most > 2 ? 6 : ROWS);
        j += n;
    }
}
