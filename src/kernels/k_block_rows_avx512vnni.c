/* block_rows: 16 floats at a time, the last ones under a mask. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

static __m512 load(const float *x, size_t n)
{
    return n >= 16 ? _mm512_loadu_ps(x) : _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), x);
}

/* The bits of |x| are in the order of |x|, NaN above all. */
static float magnitude(size_t n, const float *x)
{
    __m512i most = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 16)
        most = _mm512_max_epu32(most, _mm512_castps_si512(_mm512_abs_ps(load(x + i, n - i))));
    const uint32_t bits = _mm512_reduce_max_epu32(most);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

void sqz_block_rows_avx512vnni(size_t k, size_t block, const float *x, int8_t *q, float *scale,
                               int32_t *less)
{
    for (size_t from = 0; from < k; from += block, x += block, q += block, scale++, less++) {
        const size_t n = k - from < block ? k - from : block;
        const float s = magnitude(n, x) / 127.0f;
        const __m512 by = _mm512_set1_ps(s);
        __m512i sum = _mm512_setzero_si512();
        *scale = s;
        memset(q, 0, block);
        for (size_t i = 0; s > 0 && s < INFINITY && i < n; i += 16) {
            const __mmask16 some = (__mmask16)(n - i >= 16 ? 0xffffu : (1u << (n - i)) - 1);
            __m512i v = _mm512_cvtps_epi32(_mm512_div_ps(load(x + i, n - i), by));
            v = _mm512_max_epi32(v, _mm512_set1_epi32(-127));
            v = _mm512_min_epi32(v, _mm512_set1_epi32(127));
            sum = _mm512_add_epi32(sum, v);
            _mm512_mask_cvtepi32_storeu_epi8(q + i, some, v);
        }
        *less = -_mm512_reduce_add_epi32(sum);
    }
}
