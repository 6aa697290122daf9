/* gemm_s8_ymm.h: gemm_s8 with vpdpbusd on 256 bits, up to 6 rows x one panel. For processors that
 * have it without AVX-512; compiled for AVX-512 the same code is tested on processors that lack the
 * other encoding. */
#ifndef SQZ_GEMM_S8_YMM_H
#define SQZ_GEMM_S8_YMM_H
#include "kernels/finish_avx2.h"

enum { YMM_ROWS = 6, YMM_GROUP = 4 * 16 };                  /* GROUP: bytes of 4 terms of a panel */
typedef int32_t ymm_lanes __attribute__((vector_size(32))); /* see k_gemm_s8_avx512vnni.c */

typedef struct ymm_panel { /* one panel and where its results go */
    const sqz_left *l;
    const int8_t *w;
    finish8 f[2];
    size_t span, columns, ld; /* span: bytes of a row's segment, to whole groups of 4 */
} ymm_panel;

INLINE void ymm_tile(const size_t rows, const ymm_panel *p, const char *const row[YMM_ROWS],
                     int8_t *y)
{
    ymm_lanes sum[YMM_ROWS][2];
    const int8_t *w = p->w;
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        sum[r][0] = (ymm_lanes)_mm256_loadu_si256((const void *)w);
        sum[r][1] = (ymm_lanes)_mm256_loadu_si256((const void *)(w + YMM_GROUP / 2));
    }
    w += YMM_GROUP;
    for (size_t s = 0; s < p->l->n_seg; s++)
        for (size_t t = p->l->seg[s], end = t + p->span; t < end; t += 4, w += YMM_GROUP) {
            const __m256i a = _mm256_loadu_si256((const void *)w);
            const __m256i b = _mm256_loadu_si256((const void *)(w + YMM_GROUP / 2));
#pragma GCC unroll 6
            for (size_t r = 0; r < rows; r++) {
                int32_t four;
                memcpy(&four, row[r] + t, sizeof four);
                const __m256i x = _mm256_set1_epi32(four);
                sum[r][0] = (ymm_lanes)_mm256_dpbusd_epi32((__m256i)sum[r][0], x, a);
                sum[r][1] = (ymm_lanes)_mm256_dpbusd_epi32((__m256i)sum[r][1], x, b);
            }
        }
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
        finish16_store(p->f, (__m256i)sum[r][0], (__m256i)sum[r][1], y + r * p->ld, p->columns);
}

static void ymm_rows(const ymm_panel *p, int8_t *y)
{
    const sqz_left *l = p->l;
    const char *row[YMM_ROWS];
    row_walk at = {.line = l->a};
    for (size_t i = 0, rows; i < l->m; i += rows, y += rows * p->ld) {
        rows = l->m - i < YMM_ROWS ? l->m - i : YMM_ROWS;
        next_rows(l, &at, rows, row);
        switch (rows) {
        case 6: ymm_tile(6, p, row, y); break;
        case 5: ymm_tile(5, p, row, y); break;
        case 4: ymm_tile(4, p, row, y); break;
        case 3: ymm_tile(3, p, row, y); break;
        case 2: ymm_tile(2, p, row, y); break;
        default: ymm_tile(1, p, row, y); break;
        }
    }
}

static inline void gemm_s8_ymm(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                               const sqz_out_s8 *o)
{
    const size_t quads = (l->len + 3) / 4, bytes = (1 + l->n_seg * quads) * YMM_GROUP;
    ymm_panel p = {.l = l, .span = 4 * quads, .ld = o->ld};
    for (size_t j = begin; j < end; j += SQZ_PANEL) {
        p.w = (const int8_t *)w->data + j / SQZ_PANEL * bytes;
        p.columns = end - j < SQZ_PANEL ? end - j : SQZ_PANEL;
        p.f[0] = finish8_of(o->rq, j);
        p.f[1] = finish8_of(o->rq, j + SQZ_PANEL / 2);
        ymm_rows(&p, o->y + j);
    }
}
#endif
