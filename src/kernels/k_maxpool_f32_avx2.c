/* maxpool_f32, 8 channels to a register and up to 4 registers at a time. */
#include "kernels/tile.h"
#include <immintrin.h>
#include <math.h>

INLINE __m256 load(const float *x, int whole, __m256i mask)
{
    return whole ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, mask);
}

/* nv registers of channels of one pixel; `whole`: all lanes, else those of the mask. vmaxps keeps
 * its second operand where one is NaN: those lanes are found on the way, two taps with one
 * comparison. */
INLINE void pixel(const float *x, size_t line, size_t next, size_t ny, size_t nx, float *y, int nv,
                  int whole, __m256i mask)
{
    __m256 best[4], nan[4];
    for (int v = 0; v < nv; v++) {
        best[v] = _mm256_set1_ps(-INFINITY);
        nan[v] = _mm256_setzero_ps();
    }
    for (size_t ky = 0; ky < ny; ky++, x += line)
        for (size_t kx = 0; kx < nx; kx += 2) {
            const float *one = x + kx * next, *two = kx + 1 < nx ? one + next : one;
            for (int v = 0; v < nv; v++) {
                const __m256 a = load(one + 8 * v, whole, mask), b = load(two + 8 * v, whole, mask);
                nan[v] = _mm256_or_ps(nan[v], _mm256_cmp_ps(a, b, _CMP_UNORD_Q));
                best[v] = _mm256_max_ps(b, _mm256_max_ps(a, best[v]));
            }
        }
    for (int v = 0; v < nv; v++) {
        best[v] = _mm256_blendv_ps(best[v], _mm256_set1_ps(NAN), nan[v]);
        if (whole)
            _mm256_storeu_ps(y + 8 * v, best[v]);
        else
            _mm256_maskstore_ps(y + 8 * v, mask, best[v]);
    }
}

INLINE void run(const sqz_taps *w, size_t ny, size_t nx, const float *x, float *y)
{
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(w->n % 8)),
                                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy) {
        size_t j = 0;
        for (; j + 32 <= w->n; j += 32)
            pixel(x + j, w->line, w->next, ny, nx, y + j, 4, 1, mask);
        for (; j + 8 <= w->n; j += 8)
            pixel(x + j, w->line, w->next, ny, nx, y + j, 1, 1, mask);
        if (j < w->n)
            pixel(x + j, w->line, w->next, ny, nx, y + j, 1, 0, mask);
    }
}

void sqz_maxpool_f32_avx2(const sqz_taps *w, const float *x, float *y)
{
    if (w->ny == 3 && w->nx == 3)
        run(w, 3, 3, x, y);
    else if (w->ny == 2 && w->nx == 2)
        run(w, 2, 2, x, y);
    else
        run(w, w->ny, w->nx, x, y);
}
