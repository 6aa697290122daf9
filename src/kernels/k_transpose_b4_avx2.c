/* transpose_b4 in blocks of 8 x 8; three rows (the planes of an image) are woven 8 pixels at a time
 * and three columns taken apart likewise. */
#include "kernels/kernels.h"
#include <immintrin.h>

/* Halves of two rows, 4 apart: in-lane shuffles then finish the block. */
static inline __m256 halves(const float *low, const float *high)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
}

/* Columns j .. j + 3 of 8 rows. */
static inline void four(const float *x, size_t ldx, float *y, size_t ldy)
{
    const __m256 a = halves(x, x + 4 * ldx), b = halves(x + ldx, x + 5 * ldx);
    const __m256 c = halves(x + 2 * ldx, x + 6 * ldx), d = halves(x + 3 * ldx, x + 7 * ldx);
    const __m256 ab0 = _mm256_unpacklo_ps(a, b), cd0 = _mm256_unpacklo_ps(c, d);
    const __m256 ab1 = _mm256_unpackhi_ps(a, b), cd1 = _mm256_unpackhi_ps(c, d);
    _mm256_storeu_ps(y, _mm256_shuffle_ps(ab0, cd0, 0x44));
    _mm256_storeu_ps(y + ldy, _mm256_shuffle_ps(ab0, cd0, 0xee));
    _mm256_storeu_ps(y + 2 * ldy, _mm256_shuffle_ps(ab1, cd1, 0x44));
    _mm256_storeu_ps(y + 3 * ldy, _mm256_shuffle_ps(ab1, cd1, 0xee));
}

/* y[3 i + r] = x[r * ldx + i]. Each row is turned so that the places of its 8 elements in the three
 * results come out by blending. */
static void weave3(size_t n, const float *x, size_t ldx, float *y)
{
    const __m256i p0 = _mm256_setr_epi32(0, 3, 6, 1, 4, 7, 2, 5),
                  p1 = _mm256_setr_epi32(5, 0, 3, 6, 1, 4, 7, 2),
                  p2 = _mm256_setr_epi32(2, 5, 0, 3, 6, 1, 4, 7);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 a = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x + i), p0);
        const __m256 b = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x + ldx + i), p1);
        const __m256 c = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x + 2 * ldx + i), p2);
        _mm256_storeu_ps(y + 3 * i, _mm256_blend_ps(_mm256_blend_ps(a, b, 0x92), c, 0x24));
        _mm256_storeu_ps(y + 3 * i + 8, _mm256_blend_ps(_mm256_blend_ps(c, a, 0x92), b, 0x24));
        _mm256_storeu_ps(y + 3 * i + 16, _mm256_blend_ps(_mm256_blend_ps(b, c, 0x92), a, 0x24));
    }
    sqz_transpose_b4_scalar(3, n - i, x + i, ldx, y + 3 * i, 3);
}

/* y[r * ldy + i] = x[3 i + r]: the way back. */
static void part3(size_t n, const float *x, float *y, size_t ldy)
{
    const __m256i p0 = _mm256_setr_epi32(0, 3, 6, 1, 4, 7, 2, 5),
                  p1 = _mm256_setr_epi32(1, 4, 7, 2, 5, 0, 3, 6),
                  p2 = _mm256_setr_epi32(2, 5, 0, 3, 6, 1, 4, 7);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 u = _mm256_loadu_ps(x + 3 * i), v = _mm256_loadu_ps(x + 3 * i + 8),
                     w = _mm256_loadu_ps(x + 3 * i + 16);
        const __m256 a = _mm256_blend_ps(_mm256_blend_ps(u, v, 0x92), w, 0x24);
        const __m256 b = _mm256_blend_ps(_mm256_blend_ps(w, u, 0x92), v, 0x24);
        const __m256 c = _mm256_blend_ps(_mm256_blend_ps(v, w, 0x92), u, 0x24);
        _mm256_storeu_ps(y + i, _mm256_permutevar8x32_ps(a, p0));
        _mm256_storeu_ps(y + ldy + i, _mm256_permutevar8x32_ps(b, p1));
        _mm256_storeu_ps(y + 2 * ldy + i, _mm256_permutevar8x32_ps(c, p2));
    }
    sqz_transpose_b4_scalar(n - i, 3, x + 3 * i, 3, y + i, ldy);
}

void sqz_transpose_b4_avx2(size_t rows, size_t cols, const void *px, size_t ldx, void *py,
                           size_t ldy)
{
    const float *x = px; /* only moved */
    float *y = py;
    if (rows == 3 && ldy == 3) {
        weave3(cols, x, ldx, y);
        return;
    }
    if (cols == 3 && ldx == 3) {
        part3(rows, x, y, ldy);
        return;
    }
    if (rows < 8 || cols < 4) {
        sqz_transpose_b4_scalar(rows, cols, x, ldx, y, ldy);
        return;
    }
    for (size_t j = 0; j < cols; j += 16) /* whole lines of the rows */
        for (size_t i = 0; i < rows; i += 8) {
            const size_t i0 = rows - i < 8 ? rows - 8 : i; /* the last block once more covers the */
            for (size_t k = j; k < j + 16 && k < cols; k += 4) { /* rest, in both directions */
                const size_t j0 = cols - k < 4 ? cols - 4 : k;
                four(x + i0 * ldx + j0, ldx, y + j0 * ldy + i0, ldy);
            }
        }
}
