/* gemm_s8 without a byte dot product: both sides widened to 16 bits, vpmaddwd adds pairs of
 * products exactly (vpmaddubsw would saturate). A register holds 4 columns x 2 halves of the sum;
 * the halves are added at the end. A tile is MR rows x one panel of 16 columns. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

#define GROUP (4 * SQZ_PANEL)

#ifdef __OPTIMIZE__ /* sizes of tiles become constants and accumulators registers */
#    define INLINE static inline __attribute__((always_inline))
#else /* a debug build would put every tile on one stack frame */
#    define INLINE static
#endif

/* 4 bytes of a row, widened, four times; the last group may have fewer. */
INLINE __m256i row4(const int8_t *a, size_t bytes)
{
    int32_t v = 0;
    memcpy(&v, a, bytes);
    return _mm256_cvtepi8_epi16(_mm_set1_epi32(v));
}

/* Halves of columns 0..3 and of 4..7 to 8 finished sums in order. */
INLINE __m256i halves(__m256i a, __m256i b)
{
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), _MM_SHUFFLE(3, 1, 2, 0));
}

/* The type that vpaddd works on: see k_gemm_s8_avx512vnni.c. */
typedef int32_t lanes __attribute__((vector_size(32)));

/* Adds `bytes` (1..4) successive k. */
INLINE void step(const size_t mr, const int8_t *a, size_t lda, size_t bytes, const int8_t *w,
                 lanes acc[3][4])
{
    __m256i x[3];
#pragma GCC unroll 3
    for (size_t r = 0; r < mr; r++)
        x[r] = row4(a + r * lda, bytes);
#pragma GCC unroll 4
    for (size_t q = 0; q < 4; q++) {
        __m256i v = _mm256_cvtepi8_epi16(
            _mm_loadu_si128((const __m128i *)(const void *)(w + 16 * q)));
#pragma GCC unroll 3
        for (size_t r = 0; r < mr; r++)
            acc[r][q] += (lanes)_mm256_madd_epi16(x[r], v);
    }
}

INLINE void tile(const size_t mr, size_t k, const int8_t *a, size_t lda, const int8_t *w,
                 int32_t out[3][SQZ_PANEL])
{
    lanes acc[3][4];
#pragma GCC unroll 3
    for (size_t r = 0; r < mr; r++)
        acc[r][0] = acc[r][1] = acc[r][2] = acc[r][3] = (lanes){0};
    size_t whole = k & ~(size_t)3;
    if (whole < k) /* before the loop, not in or after it: that costs registers */
        step(mr, a + whole, lda, k - whole, w + whole * SQZ_PANEL, acc);
    for (size_t j = 0; j < whole; j += 4, w += GROUP)
        step(mr, a + j, lda, 4, w, acc);
#pragma GCC unroll 3
    for (size_t r = 0; r < mr; r++) {
        _mm256_storeu_si256((__m256i *)(void *)out[r],
                            halves((__m256i)acc[r][0], (__m256i)acc[r][1]));
        _mm256_storeu_si256((__m256i *)(void *)(out[r] + 8),
                            halves((__m256i)acc[r][2], (__m256i)acc[r][3]));
    }
}

void sqz_gemm_s8_avx2(const sqz_packed_v1 *w, size_t m, const int8_t *a, size_t lda, int32_t *c,
                      size_t ldc)
{
    size_t panel = (1 + (w->k + 3) / 4) * GROUP;
    for (size_t j = 0; j < w->n; j += SQZ_PANEL) {
        const int8_t *b = (const int8_t *)w->data + j / SQZ_PANEL * panel + GROUP;
        size_t cols = w->n - j < SQZ_PANEL ? w->n - j : SQZ_PANEL;
        for (size_t i = 0, mr; i < m; i += mr) {
            int32_t out[3][SQZ_PANEL];
            mr = m - i >= 3 ? 3 : 1;
            if (mr == 3)
                tile(3, w->k, a + i * lda, lda, b, out);
            else
                tile(1, w->k, a + i * lda, lda, b, out);
            for (size_t r = 0; r < mr; r++)
                memcpy(c + (i + r) * ldc + j, out[r], cols * sizeof **out);
        }
    }
}
