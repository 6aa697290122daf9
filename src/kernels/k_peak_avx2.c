/* peak: 256-bit fused multiply-adds; integers as vpmaddubsw, vpmaddwd and vpaddd. */
#include "kernels/kernels.h"
#include <immintrin.h>

#define N 12 /* sums: enough for two a cycle at four cycles of latency */

static uint64_t floats(size_t rounds, float *sink)
{
    __m256 acc[N];
    const __m256 a = _mm256_set1_ps(sink[0]), b = _mm256_set1_ps(sink[1]);
    for (int i = 0; i < N; i++)
        acc[i] = _mm256_set1_ps((float)i);
    for (size_t r = 0; r < rounds; r++)
#pragma GCC unroll 12
        for (int i = 0; i < N; i++)
            acc[i] = _mm256_fmadd_ps(acc[i], a, b);
    for (int i = 0; i < N; i++)
        sink[3] += _mm256_cvtss_f32(acc[i]);
    return (uint64_t)rounds * N * 8 * 2;
}

static uint64_t integers(size_t rounds, float *sink)
{
    __m256i acc[N];
    const __m256i a = _mm256_set1_epi32((int32_t)sink[2]), one = _mm256_set1_epi16(1);
    for (int i = 0; i < N; i++)
        acc[i] = _mm256_set1_epi32(i);
    for (size_t r = 0; r < rounds; r++)
#pragma GCC unroll 12
        for (int i = 0; i < N; i++) /* the left side depends on the sum: nothing is hoisted */
            acc[i] = _mm256_add_epi32(acc[i],
                                      _mm256_madd_epi16(_mm256_maddubs_epi16(a, acc[i]), one));
    for (int i = 0; i < N; i++)
        sink[3] += (float)_mm256_extract_epi32(acc[i], 0);
    return (uint64_t)rounds * N * 32 * 2;
}

uint64_t sqz_peak_avx2(int integer, size_t rounds, float *sink)
{
    return integer ? integers(rounds, sink) : floats(rounds, sink);
}
