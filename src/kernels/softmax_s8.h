/* softmax_s8.h: rows of int8 softmax with 256-bit vectors, for files compiled for AVX2 and more. A
 * result depends on the distance from the row's maximum only: the 64-bit quotients are computed for
 * the distances whose result is not 0, four at a time in double, and the row goes through a table.
 *
 * The quotient n / s <= 257 of two integers comes out with the right floor: below an integer it is
 * at least 1 / s away, which is more than the error of 2^-46 while s < 2^45. */
#ifndef SQZ_SOFTMAX_S8_H
#define SQZ_SOFTMAX_S8_H
#include "kernels/kernels.h"
#include <immintrin.h>

#define SOFTMAX_LEAST 48                /* shorter rows: one quotient for each element */
#define SOFTMAX_MOST  ((size_t)1 << 22) /* times 2^23 is 2^45 */

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

/* lut[x + 128] for every code x of the row. */
static inline void softmax_table(const uint32_t table[256], int32_t top, uint64_t sum,
                                 int8_t lut[256])
{
    const __m256d s = _mm256_set1_pd((double)sum), half = _mm256_set1_pd((double)(sum / 2));
    const __m128i most = _mm_set1_epi32(255);
    int32_t q[4];
    for (int i = 0; i < 256; i++)
        lut[i] = -128;
    for (int32_t d = 0; d <= top + 128; d += 4) { /* 256 is a multiple of 4: inside the table */
        const __m256d e = _mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i *)(table + d)));
        const __m256d n = _mm256_add_pd(_mm256_mul_pd(e, _mm256_set1_pd(256)), half);
        const __m128i v = _mm_min_epi32(_mm256_cvttpd_epi32(_mm256_div_pd(n, s)), most);
        _mm_storeu_si128((__m128i *)q, v);
        for (int32_t k = 0; k < 4 && d + k <= top + 128; k++)
            lut[top + 128 - d - k] = (int8_t)(q[k] - 128);
        if (q[3] == 0) /* the table falls: so does what follows */
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
        int8_t lut[256];
        const int32_t top = softmax_top(x, n);
        softmax_table(table, top, softmax_sum(table, x, n, top), lut);
        look_up(lut, n, x, y);
    }
}
#endif
