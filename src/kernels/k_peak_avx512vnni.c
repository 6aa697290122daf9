/* peak: 512-bit fused multiply-adds and vpdpbusd. */
#include "kernels/kernels.h"
#include <immintrin.h>

#define N 16 /* sums: enough for two a cycle at five cycles of latency */

static uint64_t floats(size_t rounds, float *sink)
{
    __m512 acc[N];
    const __m512 a = _mm512_set1_ps(sink[0]), b = _mm512_set1_ps(sink[1]);
    for (int i = 0; i < N; i++)
        acc[i] = _mm512_set1_ps((float)i);
    for (size_t r = 0; r < rounds; r++)
#pragma GCC unroll 16
        for (int i = 0; i < N; i++)
            acc[i] = _mm512_fmadd_ps(acc[i], a, b);
    for (int i = 0; i < N; i++)
        sink[3] += _mm512_cvtss_f32(acc[i]);
    return (uint64_t)rounds * N * 16 * 2;
}

typedef int32_t sums __attribute__((vector_size(64))); /* gcc 12 copies __m512i around vpdpbusd */

static uint64_t integers(size_t rounds, float *sink)
{
    sums acc[N];
    const __m512i a = _mm512_set1_epi32((int32_t)sink[2]);
    for (int i = 0; i < N; i++)
        acc[i] = (sums)_mm512_set1_epi32(i);
    for (size_t r = 0; r < rounds; r++)
#pragma GCC unroll 16
        for (int i = 0; i < N; i++)
            acc[i] = (sums)_mm512_dpbusd_epi32((__m512i)acc[i], a, a);
    for (int i = 0; i < N; i++)
        sink[3] += (float)acc[i][0];
    return (uint64_t)rounds * N * 64 * 2;
}

uint64_t sqz_peak_avx512vnni(int integer, size_t rounds, float *sink)
{
    return integer ? integers(rounds, sink) : floats(rounds, sink);
}
