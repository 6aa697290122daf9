/* softmax_s8.h: rows of int8 softmax with 256-bit vectors, for files compiled for AVX2 and more. A
 * result depends on the distance from the row's maximum only: the quotients are computed for the
 * distances whose result is not 0, eight at a time in double, and the row goes through a table.
 *
 * Their floors are right without a division: n / s < 258 with s < 2^38, so what is below an integer
 * is so by 2^-38 at least, n * (1 / s) is off by less than 2^-43, and the 2^-41 that is added to it
 * brings what is an integer above it. */
#ifndef SQZ_SOFTMAX_S8_H
#define SQZ_SOFTMAX_S8_H
#include "kernels/kernels.h"
#include <immintrin.h>

#define SOFTMAX_LEAST 48                /* shorter rows: one quotient for each element */
#define SOFTMAX_MOST  ((size_t)1 << 15) /* times 2^23 is 2^38 */

static inline int32_t softmax_top(const int8_t *x, size_t n) /* n >= 32 */
{
    __m256i top = _mm256_loadu_si256((const __m256i *)x);
    for (size_t i = 32; i < n; i += 32) {
        const size_t at = i + 32 <= n ? i : n - 32;
        top = _mm256_max_epi8(top, _mm256_loadu_si256((const __m256i *)(x + at)));
    }
    int8_t part[32], best = INT8_MIN;
    _mm256_storeu_si256((__m256i *)part, top);
    for (int i = 0; i < 32; i++)
        best = part[i] > best ? part[i] : best;
    return best;
}

static inline uint64_t softmax_sum(const uint32_t table[256], const int8_t *x, size_t n,
                                   int32_t top)
{
    uint64_t sum[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            sum[k] += table[top - x[i + k]];
    for (; i < n; i++)
        sum[0] += table[top - x[i]];
    return sum[0] + sum[1] + sum[2] + sum[3];
}

/* Results for distances d .. d + 3, as 32-bit numbers. */
static inline __m128i softmax_four(const uint32_t *e, __m256d factor, __m256d half)
{
    const __m256d v = _mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i *)e));
    const __m128i q = _mm256_cvttpd_epi32(_mm256_fmadd_pd(v, factor, half));
    return _mm_add_epi32(_mm_min_epi32(q, _mm_set1_epi32(255)), _mm_set1_epi32(-128));
}

/* table[x + 128] for every code x of the row; there is room for 8 bytes in front of the table. */
static inline void softmax_table(const uint32_t exps[256], int32_t top, uint64_t sum, int8_t *table)
{
    const double inverse = 1 / (double)sum;
    const __m256d factor = _mm256_set1_pd(256 * inverse);
    const __m256d half = _mm256_set1_pd((double)(sum / 2) * inverse + 0x1p-41);
    const __m128i backwards = _mm_set_epi8(-1, -1, -1, -1, -1, -1, -1, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    for (int i = 0; i < 256; i += 32)
        _mm256_storeu_si256((__m256i *)(table + i), _mm256_set1_epi8(-128));
    for (int32_t d = 0; d <= top + 128; d += 8) { /* 256 is a multiple of 8: inside of exps */
        const __m128i q = _mm_packs_epi32(softmax_four(exps + d, factor, half),
                                          softmax_four(exps + d + 4, factor, half));
        const __m128i bytes = _mm_shuffle_epi8(_mm_packs_epi16(q, q), backwards);
        _mm_storel_epi64((__m128i *)(table + top + 128 - d - 7), bytes);
        if ((int8_t)_mm_extract_epi8(bytes, 0) == -128) /* exps falls: so does what follows */
            return;
    }
}

static inline void softmax_rows(sqz_lut_s8_fn look_up, const uint32_t table[256], const int8_t *x,
                                int8_t *y, size_t rows, size_t n)
{
    if (n < SOFTMAX_LEAST || n > SOFTMAX_MOST) {
        sqz_softmax_s8_scalar(table, x, y, rows, n);
        return;
    }
    for (size_t r = 0; r < rows; r++, x += n, y += n) {
        int8_t lut[8 + 256];
        const int32_t top = softmax_top(x, n);
        softmax_table(table, top, softmax_sum(table, x, n, top), lut + 8);
        look_up(lut + 8, n, x, y);
    }
}
#endif
