/* dwconv_f32, 8 channels at a time; the last few through masks. */
#include "kernels/kernels.h"
#include <immintrin.h>

static inline __m256i first(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

#define NAME(f)             f##_8
#define VEC                 __m256
#define LOAD(p)             _mm256_loadu_ps(p)
#define LOAD_PART(p, n)     _mm256_maskload_ps(p, first(n))
#define STORE(p, v)         _mm256_storeu_ps(p, v)
#define STORE_PART(p, v, n) _mm256_maskstore_ps(p, first(n), v)
#define ADD(a, b)           _mm256_add_ps(a, b)
#define FMA(a, b, c)        _mm256_fmadd_ps(a, b, c)
#define CLAMP(v, lo, hi)    _mm256_min_ps(_mm256_set1_ps(hi), _mm256_max_ps(_mm256_set1_ps(lo), v))
#include "kernels/dwconv_f32.h"

/* Lines i .. i + rows of the output, columns j .. end, all channels. */
INLINE void strip(const size_t rows, const size_t k, const size_t step, const dw_f32 *q, size_t i,
                  size_t j, size_t end)
{
    const size_t n = q->n, panel = q->panel;
    const float *w = q->w;
    size_t c = 0;
    for (; c + 8 <= n; c += 8)
        columns_8(true, rows, k, step, q,
                  (dw_f32_at){i, j, c, 0, w + c / SQZ_PANEL * panel + c % SQZ_PANEL}, end);
    if (c < n)
        columns_8(false, rows, k, step, q,
                  (dw_f32_at){i, j, c, n - c, w + c / SQZ_PANEL * panel + c % SQZ_PANEL}, end);
}
#define LINES_5X5 1
#include "kernels/dwconv_f32_lines.h"

void sqz_dwconv_f32_avx2(const sqz_packed *w, const sqz_windows *x, const sqz_out_f32 *o)
{
    lines(w, x, o);
}
