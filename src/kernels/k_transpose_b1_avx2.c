/* transpose_b1 in blocks of 32 rows and 16 columns; three rows (the planes of an image) are woven
 * 16 pixels at a time. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

#define LOAD(p) _mm_loadu_si128((const __m128i *)(p))

/* Four rounds of interleaving rows that are half of what is left apart; both lanes alike, the upper
 * one with rows 16 to 31. */
static inline void block(const uint8_t *x, size_t ldx, uint8_t *y, size_t ldy)
{
    __m256i a[16], b[16];
    for (size_t i = 0; i < 16; i++)
        a[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(LOAD(x + i * ldx)),
                                       LOAD(x + (i + 16) * ldx), 1);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 8; i++) {
            b[2 * i] = _mm256_unpacklo_epi8(a[i], a[i + 8]);
            b[2 * i + 1] = _mm256_unpackhi_epi8(a[i], a[i + 8]);
        }
        for (int i = 0; i < 16; i++)
            a[i] = b[i];
    }
    for (size_t j = 0; j < 16; j++)
        _mm256_storeu_si256((__m256i *)(y + j * ldy), a[j]);
}

/* The same for 16 rows. */
static inline void small(const uint8_t *x, size_t ldx, uint8_t *y, size_t ldy)
{
    __m128i a[16], b[16];
    for (size_t i = 0; i < 16; i++)
        a[i] = LOAD(x + i * ldx);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 8; i++) {
            b[2 * i] = _mm_unpacklo_epi8(a[i], a[i + 8]);
            b[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + 8]);
        }
        for (int i = 0; i < 16; i++)
            a[i] = b[i];
    }
    for (size_t j = 0; j < 16; j++)
        _mm_storeu_si128((__m128i *)(y + j * ldy), a[j]);
}

/* Fewer than 16 rows or columns. */
static void edge(size_t rows, size_t cols, const uint8_t *x, size_t ldx, uint8_t *y, size_t ldy)
{
    uint8_t in[16][16] = {{0}}, out[16][16];
    for (size_t i = 0; i < rows; i++)
        memcpy(in[i], x + i * ldx, cols);
    small(in[0], 16, out[0], 16);
    for (size_t j = 0; j < cols; j++)
        memcpy(y + j * ldy, out[j], rows);
}

/* Up to 16 columns of all rows. */
static void column(size_t rows, size_t cols, const uint8_t *x, size_t ldx, uint8_t *y, size_t ldy)
{
    size_t i = 0;
    for (; cols == 16 && i + 32 <= rows; i += 32)
        block(x + i * ldx, ldx, y + i, ldy);
    for (; cols == 16 && i + 16 <= rows; i += 16)
        small(x + i * ldx, ldx, y + i, ldy);
    if (cols == 16 && rows >= 16 && i < rows) { /* the last rows once more */
        small(x + (rows - 16) * ldx, ldx, y + rows - 16, ldy);
        return;
    }
    for (size_t n; i < rows; i += n) {
        n = rows - i < 16 ? rows - i : 16;
        edge(n, cols, x + i * ldx, ldx, y + i, ldy);
    }
}

/* Byte k of the 48 that 16 pixels of 3 planes give is byte k / 3 of plane k % 3. */
static void weave3(size_t n, const uint8_t *x, size_t ldx, uint8_t *y)
{
    int8_t at[9][16];
    __m128i pick[9]; /* part of the result * 3 + plane */
    size_t i = 0;
    for (int k = 0; k < 48; k++)
        for (int p = 0; p < 3; p++)
            at[k / 16 * 3 + p][k % 16] = (int8_t)(k % 3 == p ? k / 3 : -1);
    for (int k = 0; k < 9; k++)
        pick[k] = LOAD(at[k]);
    for (; i + 16 <= n; i += 16) {
        const __m128i a = LOAD(x + i), b = LOAD(x + ldx + i), c = LOAD(x + 2 * ldx + i);
        for (int k = 0; k < 3; k++) {
            const __m128i ab = _mm_or_si128(_mm_shuffle_epi8(a, pick[3 * k]),
                                            _mm_shuffle_epi8(b, pick[3 * k + 1]));
            _mm_storeu_si128((__m128i *)(y + 3 * i + 16 * k),
                             _mm_or_si128(ab, _mm_shuffle_epi8(c, pick[3 * k + 2])));
        }
    }
    sqz_transpose_b1_scalar(3, n - i, x + i, ldx, y + 3 * i, 3);
}

void sqz_transpose_b1_avx2(size_t rows, size_t cols, const void *px, size_t ldx, void *py,
                           size_t ldy)
{
    const uint8_t *x = px;
    uint8_t *y = py;
    if (rows == 3 && ldy == 3) {
        weave3(cols, x, ldx, y);
        return;
    }
    for (size_t j = 0, n; j < cols; j += n) {
        n = cols - j < 16 ? cols - j : 16;
        if (n < 16 && cols >= 16) { /* the last block once more covers what is left */
            j = cols - 16;
            n = 16;
        }
        column(rows, n, x + j, ldx, y + j * ldy, ldy);
    }
}
