/* maxpool_s8, 64 channels at a time; the last ones masked. */
#include "kernels/tile.h"
#include <immintrin.h>

INLINE void run(const sqz_taps *w, size_t ny, size_t nx, const int8_t *x, int8_t *y)
{
    for (size_t p = 0; p < w->m; p++, x += w->step, y += w->ldy)
        for (size_t j = 0; j < w->n; j += 64) {
            const __mmask64 m = w->n - j >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << (w->n - j)) - 1;
            const int8_t *tap = x + j;
            __m512i best = _mm512_set1_epi8(INT8_MIN);
            for (size_t ky = 0; ky < ny; ky++, tap += w->line)
                for (size_t kx = 0; kx < nx; kx++)
                    best = _mm512_max_epi8(best, _mm512_maskz_loadu_epi8(m, tap + kx * w->next));
            _mm512_mask_storeu_epi8(y + j, m, best);
        }
}

void sqz_maxpool_s8_avx512vnni(const sqz_taps *w, const int8_t *x, int8_t *y)
{
    if (w->ny == 3 && w->nx == 3)
        run(w, 3, 3, x, y);
    else if (w->ny == 2 && w->nx == 2)
        run(w, 2, 2, x, y);
    else
        run(w, w->ny, w->nx, x, y);
}
