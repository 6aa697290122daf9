/* gemm_s8 with sdot: tiles of up to 6 rows x one panel, whose 24 sums stay in
 * registers. 16 terms of a row are one load, of which sdot takes 4 at a time by
 * lane. */
#include "kernels/requant_neon.h"
#include <string.h>

enum { ROWS = 6, QUARTERS = 4, GROUP = 4 * 16 }; /* GROUP: bytes of 4 terms of a panel */

typedef struct product { /* what stays the same for all tiles of a panel */
    const sqz_left *l;
    const int8_t *w;
    size_t span; /* bytes of a row's segment, to whole groups of 4 */
    const sqz_requant *q;
    size_t first, columns, ld; /* of q and of the results */
} product;

/* Adds 4 terms: those in lane `lane` of x. */
INLINE void step(const size_t rows, const int lane, const int8_t *w, const int8x16_t x[ROWS],
                 int32x4_t sum[ROWS][QUARTERS])
{
#pragma GCC unroll 4
    for (size_t p = 0; p < QUARTERS; p++) {
        const int8x16_t v = vld1q_s8(w + 16 * p);
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++)
            switch (lane) { /* the lane is part of the instruction */
            case 0: sum[r][p] = vdotq_laneq_s32(sum[r][p], v, x[r], 0); break;
            case 1: sum[r][p] = vdotq_laneq_s32(sum[r][p], v, x[r], 1); break;
            case 2: sum[r][p] = vdotq_laneq_s32(sum[r][p], v, x[r], 2); break;
            default: sum[r][p] = vdotq_laneq_s32(sum[r][p], v, x[r], 3); break;
            }
    }
}

INLINE const int8_t *segment(const size_t rows, const int8_t *const row[ROWS], size_t span,
                             const int8_t *w, int32x4_t sum[ROWS][QUARTERS])
{
    int8x16_t x[ROWS];
    size_t t = 0;
    for (; t + 16 <= span; t += 16, w += 4 * GROUP) {
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++)
            x[r] = vld1q_s8(row[r] + t);
        step(rows, 0, w, x, sum);
        step(rows, 1, w + GROUP, x, sum);
        step(rows, 2, w + 2 * GROUP, x, sum);
        step(rows, 3, w + 3 * GROUP, x, sum);
    }
    for (; t < span; t += 4, w += GROUP) {
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, row[r] + t, sizeof four);
            x[r] = vreinterpretq_s8_s32(vdupq_n_s32(four));
        }
        step(rows, 0, w, x, sum);
    }
    return w;
}

/* 16 sums to codes. */
INLINE void finish(const product *p, const int32x4_t sum[QUARTERS], int8_t *y)
{
    int32x4_t v[QUARTERS];
    for (size_t i = 0; i < QUARTERS; i++) {
        const int32x4_t mult = vld1q_s32(p->q->mult + p->first + 4 * i);
        const int32x4_t shift = vld1q_s32(p->q->shift + p->first + 4 * i), none = vdupq_n_s32(0);
        v[i] = requant(vqshlq_s32(sum[i], vmaxq_s32(shift, none)), mult, vminq_s32(shift, none));
    }
    int8x16_t q = pack(v, p->q->zero);
    q = vmaxq_s8(q, vdupq_n_s8((int8_t)p->q->lo));
    q = vminq_s8(q, vdupq_n_s8((int8_t)p->q->hi));
    if (p->columns == SQZ_PANEL) {
        vst1q_s8(y, q);
    } else {
        int8_t out[SQZ_PANEL];
        vst1q_s8(out, q);
        memcpy(y, out, p->columns);
    }
}

INLINE void tile(const size_t rows, const product *p, const char *const row[ROWS], int8_t *y)
{
    int32x4_t sum[ROWS][QUARTERS];
    const int8_t *w = p->w;
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t i = 0; i < QUARTERS; i++)
            sum[r][i] = vreinterpretq_s32_s8(vld1q_s8(w + 16 * i));
    w += GROUP;
    for (size_t s = 0; s < p->l->n_seg; s++) {
        const int8_t *at[ROWS];
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++)
            at[r] = (const int8_t *)row[r] + p->l->seg[s];
        w = segment(rows, at, p->span, w, sum);
    }
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
        finish(p, sum[r], y + r * p->ld);
}

static void rows_of(const product *p, int8_t *y)
{
    const sqz_left *l = p->l;
    const char *row[ROWS];
    row_walk at = {.line = l->a};
    for (size_t i = 0, rows; i < l->m; i += rows, y += rows * p->ld) {
        rows = l->m - i < ROWS ? l->m - i : ROWS;
        next_rows(l, &at, rows, row);
        switch (rows) {
        case 6: tile(6, p, row, y); break;
        case 5: tile(5, p, row, y); break;
        case 4: tile(4, p, row, y); break;
        case 3: tile(3, p, row, y); break;
        case 2: tile(2, p, row, y); break;
        default: tile(1, p, row, y); break;
        }
    }
}

void sqz_gemm_s8_neondot(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                         const sqz_out_s8 *o)
{
    const size_t quads = (l->len + 3) / 4, bytes = (1 + l->n_seg * quads) * GROUP;
    product p = {.l = l, .span = 4 * quads, .q = o->rq, .ld = o->ld};
    for (size_t j = begin; j < end; j += SQZ_PANEL) {
        p.w = (const int8_t *)w->data + j / SQZ_PANEL * bytes;
        p.first = j;
        p.columns = end - j < SQZ_PANEL ? end - j : SQZ_PANEL;
        rows_of(&p, o->y + j);
    }
}
