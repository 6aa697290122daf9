/* gemm_s8 without a byte dot product: both sides widened to 16 bits, vpmaddwd adds pairs of
 * products exactly (vpmaddubsw would saturate). A register holds 4 columns x 2 halves of the sum;
 * the halves are added at the end. A tile is up to 3 rows x one panel of 16 columns. */
#include "kernels/finish_avx2.h"

#define GROUP (4 * SQZ_PANEL)

enum { ROWS = 3 };

/* 4 bytes of a row, widened, four times. */
INLINE __m256i row4(const char *a)
{
    int32_t v;
    memcpy(&v, a, sizeof v);
    return _mm256_cvtepi8_epi16(_mm_set1_epi32(v));
}

/* Halves of columns 0..3 and of 4..7 to 8 finished sums in order. */
INLINE __m256i halves(__m256i a, __m256i b)
{
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), _MM_SHUFFLE(3, 1, 2, 0));
}

/* The type that vpaddd works on: see k_gemm_s8_avx512vnni.c. */
typedef int32_t lanes __attribute__((vector_size(32)));

/* Adds 4 successive terms. */
INLINE void step(const size_t rows, const char *const row[ROWS], size_t at, const int8_t *w,
                 lanes sum[ROWS][4])
{
    __m256i x[ROWS];
#pragma GCC unroll 3
    for (size_t r = 0; r < rows; r++)
        x[r] = row4(row[r] + at);
#pragma GCC unroll 4
    for (size_t q = 0; q < 4; q++) {
        __m256i v = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(w + 16 * q)));
#pragma GCC unroll 3
        for (size_t r = 0; r < rows; r++)
            sum[r][q] += (lanes)_mm256_madd_epi16(x[r], v);
    }
}

typedef struct panel { /* one panel and where its results go */
    const sqz_left *l;
    const int8_t *w;
    finish8 f[2];
    size_t span, columns, ld;
} panel;

INLINE void tile(const size_t rows, const panel *p, const char *const row[ROWS], int8_t *y)
{
    lanes sum[ROWS][4];
    const int8_t *w = p->w;
    const __m256i start = _mm256_loadu_si256((const void *)w),
                  more = _mm256_loadu_si256((const void *)(w + GROUP / 2));
#pragma GCC unroll 3
    for (size_t r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = sum[r][2] = sum[r][3] = (lanes){0};
    w += GROUP;
    for (size_t s = 0; s < p->l->n_seg; s++)
        for (size_t t = p->l->seg[s], end = t + p->span; t < end; t += 4, w += GROUP)
            step(rows, row, t, w, sum);
#pragma GCC unroll 3
    for (size_t r = 0; r < rows; r++)
        finish16_store(p->f,
                       _mm256_add_epi32(start, halves((__m256i)sum[r][0], (__m256i)sum[r][1])),
                       _mm256_add_epi32(more, halves((__m256i)sum[r][2], (__m256i)sum[r][3])),
                       y + r * p->ld, p->columns);
}

static void rows_of(const panel *p, int8_t *y)
{
    const sqz_left *l = p->l;
    const char *row[ROWS];
    row_walk at = {.line = l->a};
    for (size_t i = 0, rows; i < l->m; i += rows, y += rows * p->ld) {
        rows = l->m - i >= ROWS ? ROWS : 1;
        next_rows(l, &at, rows, row);
        if (rows == ROWS)
            tile(ROWS, p, row, y);
        else
            tile(1, p, row, y);
    }
}

void sqz_gemm_s8_avx2(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                      const sqz_out_s8 *o)
{
    const size_t quads = (l->len + 3) / 4, bytes = (1 + l->n_seg * quads) * GROUP;
    panel p = {.l = l, .span = 4 * quads, .ld = o->ld};
    for (size_t j = begin; j < end; j += SQZ_PANEL) {
        p.w = (const int8_t *)w->data + j / SQZ_PANEL * bytes;
        p.columns = end - j < SQZ_PANEL ? end - j : SQZ_PANEL;
        p.f[0] = finish8_of(o->rq, j);
        p.f[1] = finish8_of(o->rq, j + SQZ_PANEL / 2);
        rows_of(&p, o->y + j);
    }
}
