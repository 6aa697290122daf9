/* gemm_s8 without a byte dot product: both sides widened to 16 bits, vpmaddwd adds pairs of
 * products exactly (vpmaddubsw would saturate). A register holds 4 columns x 2 halves of the sum;
 * the halves are added at the end. A tile is MR rows x one panel of 16 columns. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

#define GROUP (4 * SQZ_PANEL)

/* 4 bytes of a row, widened, four times; the last group may have fewer. */
static inline __m256i row4(const int8_t *a, size_t bytes)
{
    int32_t v = 0;
    if (bytes >= 4)
        memcpy(&v, a, 4);
    else
        memcpy(&v, a, bytes);
    return _mm256_cvtepi8_epi16(_mm_set1_epi32(v));
}

/* Columns q0 of the first register, then of the second: 8 finished sums in order. */
static inline __m256i halves(__m256i a, __m256i b)
{
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), _MM_SHUFFLE(3, 1, 2, 0));
}

static inline __attribute__((always_inline)) void tile(const size_t mr, size_t k, const int8_t *a,
                                                       size_t lda, const int8_t *w, int32_t *c,
                                                       size_t ldc, size_t cols)
{
    __m256i acc[3][4];
#pragma GCC unroll 3
    for (size_t r = 0; r < mr; r++)
        acc[r][0] = acc[r][1] = acc[r][2] = acc[r][3] = _mm256_setzero_si256();
    for (size_t j = 0; j < k; j += 4, w += GROUP) {
        __m256i x[3];
#pragma GCC unroll 3
        for (size_t r = 0; r < mr; r++)
            x[r] = row4(a + r * lda + j, k - j);
#pragma GCC unroll 4
        for (size_t q = 0; q < 4; q++) {
            __m256i v = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + 16 * q)));
#pragma GCC unroll 3
            for (size_t r = 0; r < mr; r++)
                acc[r][q] = _mm256_add_epi32(acc[r][q], _mm256_madd_epi16(x[r], v));
        }
    }
#pragma GCC unroll 3
    for (size_t r = 0; r < mr; r++) {
        int32_t y[SQZ_PANEL];
        _mm256_storeu_si256((__m256i *)y, halves(acc[r][0], acc[r][1]));
        _mm256_storeu_si256((__m256i *)(y + 8), halves(acc[r][2], acc[r][3]));
        memcpy(c + r * ldc, y, cols * sizeof *y);
    }
}

void sqz_gemm_s8_avx2(size_t m, size_t n, size_t k, const int8_t *a, size_t lda, const void *packed,
                      int32_t *c, size_t ldc)
{
    size_t panel = (1 + (k + 3) / 4) * GROUP;
    for (size_t j = 0; j < n; j += SQZ_PANEL) {
        const int8_t *w = (const int8_t *)packed + j / SQZ_PANEL * panel + GROUP;
        size_t i = 0, cols = n - j < SQZ_PANEL ? n - j : SQZ_PANEL;
        for (; i + 3 <= m; i += 3)
            tile(3, k, a + i * lda, lda, w, c + i * ldc + j, ldc, cols);
        for (; i < m; i++)
            tile(1, k, a + i * lda, lda, w, c + i * ldc + j, ldc, cols);
    }
}
