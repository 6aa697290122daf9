/* lut_s8, 32 at a time: 16 look-ups by the low 4 bits, then a choice by each of the upper ones. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

/* y = table[x + 128]; bit b of a byte stands in its sign in x << (7 - b). */
static inline __m256i look_up(const __m256i t[16], __m256i x)
{
    const __m256i low = _mm256_and_si256(x, _mm256_set1_epi8(15));
    const __m256i b4 = _mm256_slli_epi16(x, 3), b5 = _mm256_slli_epi16(x, 2),
                  b6 = _mm256_slli_epi16(x, 1);
    __m256i v[8];
    for (int i = 0; i < 8; i++)
        v[i] = _mm256_blendv_epi8(_mm256_shuffle_epi8(t[2 * i], low),
                                  _mm256_shuffle_epi8(t[2 * i + 1], low), b4);
    for (int i = 0; i < 4; i++)
        v[i] = _mm256_blendv_epi8(v[2 * i], v[2 * i + 1], b5);
    for (int i = 0; i < 2; i++)
        v[i] = _mm256_blendv_epi8(v[2 * i], v[2 * i + 1], b6);
    return _mm256_blendv_epi8(v[1], v[0], x); /* codes below 0 are the first half */
}

void sqz_lut_s8_avx2(const int8_t table[256], size_t n, const int8_t *x, int8_t *y)
{
    __m256i t[16];
    size_t i = 0;
    if (n < 32) { /* fewer than the table costs */
        for (; i < n; i++)
            y[i] = table[x[i] + 128];
        return;
    }
    for (int k = 0; k < 16; k++)
        t[k] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(table + 16 * k)));
    for (; i + 32 <= n; i += 32)
        _mm256_storeu_si256((__m256i *)(y + i),
                            look_up(t, _mm256_loadu_si256((const __m256i *)(x + i))));
    if (i < n) {
        int8_t last[32] = {0};
        memcpy(last, x + i, n - i);
        _mm256_storeu_si256((__m256i *)last, look_up(t, _mm256_loadu_si256((const __m256i *)last)));
        memcpy(y + i, last, n - i);
    }
}
