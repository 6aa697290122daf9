/* dwconv_f32, 16 channels at a time; the last 8 or fewer on 256 bits: processors that do two such
 * operations where they do one of 512 (Zen 4) then waste nothing on 8 or 24 channels. */
#include "kernels/kernels.h"
#include <immintrin.h>

#define NAME(f)             f##_8
#define VEC                 __m256
#define BITS(n)             ((__mmask8)(0xffu >> (8 - (n))))
#define LOAD(p)             _mm256_loadu_ps(p)
#define LOAD_PART(p, n)     _mm256_maskz_loadu_ps(BITS(n), p)
#define STORE(p, v)         _mm256_storeu_ps(p, v)
#define STORE_PART(p, v, n) _mm256_mask_storeu_ps(p, BITS(n), v)
#define ADD(a, b)           _mm256_add_ps(a, b)
#define FMA(a, b, c)        _mm256_fmadd_ps(a, b, c)
#define CLAMP(v, lo, hi)    _mm256_min_ps(_mm256_set1_ps(hi), _mm256_max_ps(_mm256_set1_ps(lo), v))
#include "kernels/dwconv_f32.h"

#undef NAME
#undef VEC
#undef BITS
#undef LOAD
#undef LOAD_PART
#undef STORE
#undef STORE_PART
#undef ADD
#undef FMA
#undef CLAMP
#define NAME(f)             f##_16
#define VEC                 __m512
#define BITS(n)             ((__mmask16)(0xffffu >> (16 - (n))))
#define LOAD(p)             _mm512_loadu_ps(p)
#define LOAD_PART(p, n)     _mm512_maskz_loadu_ps(BITS(n), p)
#define STORE(p, v)         _mm512_storeu_ps(p, v)
#define STORE_PART(p, v, n) _mm512_mask_storeu_ps(p, BITS(n), v)
#define ADD(a, b)           _mm512_add_ps(a, b)
#define FMA(a, b, c)        _mm512_fmadd_ps(a, b, c)
#define CLAMP(v, lo, hi)    _mm512_min_ps(_mm512_set1_ps(hi), _mm512_max_ps(_mm512_set1_ps(lo), v))
#include "kernels/dwconv_f32.h"

/* Lines i .. i + rows of the output, columns j .. end, all channels. */
INLINE void strip(const size_t rows, const size_t k, const size_t step, const dw_f32 *q, size_t i,
                  size_t j, size_t end)
{
    const size_t n = q->n, panel = q->panel;
    const float *w = q->w;
    size_t c = 0;
    for (; c + 16 <= n; c += 16, w += panel)
        columns_16(true, rows, k, step, q, (dw_f32_at){i, j, c, 0, w}, end);
    if (n - c > 8)
        columns_16(false, rows, k, step, q, (dw_f32_at){i, j, c, n - c, w}, end);
    else if (n > c)
        columns_8(false, rows, k, step, q, (dw_f32_at){i, j, c, n - c, w}, end);
}
#define LINES_5X5 2
#include "kernels/dwconv_f32_lines.h"

void sqz_dwconv_f32_avx512vnni(const sqz_packed *w, const sqz_windows *x, const sqz_out_f32 *o)
{
    lines(w, x, o);
}
