/* maxpool_s8, 32 channels at a time, then 16, then 8, then one by one. */
#include "kernels/tile.h"
#include <immintrin.h>

INLINE __m256i load(const int8_t *x, int bytes)
{
    return bytes == 32   ? _mm256_loadu_si256((const __m256i *)x)
           : bytes == 16 ? _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)x))
                         : _mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)x));
}

INLINE void block(const sqz_taps *w, size_t ny, size_t nx, const int8_t *x, int8_t *y, int bytes)
{
    __m256i best = _mm256_set1_epi8(INT8_MIN);
    for (size_t ky = 0; ky < ny; ky++, x += w->line)
        for (size_t kx = 0; kx < nx; kx++)
            best = _mm256_max_epi8(best, load(x + kx * w->next, bytes));
    if (bytes == 32)
        _mm256_storeu_si256((__m256i *)y, best);
    else if (bytes == 16)
        _mm_storeu_si128((__m128i *)y, _mm256_castsi256_si128(best));
    else
        _mm_storel_epi64((__m128i *)y, _mm256_castsi256_si128(best));
}

INLINE void run(const sqz_taps *w, size_t ny, size_t nx, const int8_t *x, int8_t *y)
{
    sqz_taps rest = *w;
    rest.m = 1;
    rest.n = w->n % 8;
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy) {
        size_t j = 0;
        for (; j + 32 <= w->n; j += 32)
            block(w, ny, nx, x + j, y + j, 32);
        for (; j + 16 <= w->n; j += 16)
            block(w, ny, nx, x + j, y + j, 16);
        for (; j + 8 <= w->n; j += 8)
            block(w, ny, nx, x + j, y + j, 8);
        if (rest.n)
            sqz_maxpool_s8_scalar(&rest, x + j, y + j);
    }
}

void sqz_maxpool_s8_avx2(const sqz_taps *w, const int8_t *x, int8_t *y)
{
    if (w->ny == 3 && w->nx == 3)
        run(w, 3, 3, x, y);
    else if (w->ny == 2 && w->nx == 2)
        run(w, 2, 2, x, y);
    else
        run(w, w->ny, w->nx, x, y);
}
