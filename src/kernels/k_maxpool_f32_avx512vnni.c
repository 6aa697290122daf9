/* maxpool_f32, 16 channels to a register and up to 4 registers at a time. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <math.h>

#define INLINE static inline __attribute__((always_inline))

/* nv registers of channels of one pixel, the last one masked. vmaxps keeps its second operand where
 * one is NaN: those lanes are found on the way, two taps with one comparison. */
INLINE void pixel(const float *x, size_t line, size_t next, size_t ny, size_t nx, float *y, int nv,
                  __mmask16 last)
{
    __m512 best[4];
    __mmask16 nan[4];
    for (int v = 0; v < nv; v++) {
        best[v] = _mm512_set1_ps(-INFINITY);
        nan[v] = 0;
    }
    for (size_t ky = 0; ky < ny; ky++, x += line)
        for (size_t kx = 0; kx < nx; kx += 2) {
            const float *one = x + kx * next, *two = kx + 1 < nx ? one + next : one;
            for (int v = 0; v < nv; v++) {
                const __mmask16 m = v == nv - 1 ? last : 0xffff;
                const __m512 a = _mm512_maskz_loadu_ps(m, one + 16 * v);
                const __m512 b = _mm512_maskz_loadu_ps(m, two + 16 * v);
                nan[v] |= _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q);
                best[v] = _mm512_max_ps(b, _mm512_max_ps(a, best[v]));
            }
        }
    for (int v = 0; v < nv; v++)
        _mm512_mask_storeu_ps(y + 16 * v, v == nv - 1 ? last : 0xffff,
                              _mm512_mask_mov_ps(best[v], nan[v], _mm512_set1_ps(NAN)));
}

INLINE void run(const sqz_taps *w, size_t ny, size_t nx, const float *x, float *y)
{
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy) {
        size_t j = 0;
        for (; j + 64 <= w->n; j += 64)
            pixel(x + j, w->line, w->next, ny, nx, y + j, 4, 0xffff);
        for (; j < w->n; j += 16)
            pixel(x + j, w->line, w->next, ny, nx, y + j, 1,
                  (__mmask16)(w->n - j >= 16 ? 0xffffu : 0xffffu >> (16 - (w->n - j))));
    }
}

void sqz_maxpool_f32_avx512vnni(const sqz_taps *w, const float *x, float *y)
{
    if (w->ny == 3 && w->nx == 3)
        run(w, 3, 3, x, y);
    else if (w->ny == 2 && w->nx == 2)
        run(w, 2, 2, x, y);
    else
        run(w, w->ny, w->nx, x, y);
}
