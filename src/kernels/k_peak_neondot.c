/* peak: 128-bit fused multiply-adds and sdot. */
#include "kernels/kernels.h"
#include <arm_neon.h>

#define N 16 /* sums: enough for four a cycle at four cycles of latency */

static uint64_t floats(size_t rounds, float *sink)
{
    float32x4_t acc[N];
    const float32x4_t a = vdupq_n_f32(sink[0]), b = vdupq_n_f32(sink[1]);
    for (int i = 0; i < N; i++)
        acc[i] = vdupq_n_f32((float)i);
    for (size_t r = 0; r < rounds; r++)
#pragma GCC unroll 16
        for (int i = 0; i < N; i++)
            acc[i] = vfmaq_f32(b, acc[i], a);
    for (int i = 0; i < N; i++)
        sink[3] += vgetq_lane_f32(acc[i], 0);
    return (uint64_t)rounds * N * 4 * 2;
}

static uint64_t integers(size_t rounds, float *sink)
{
    int32x4_t acc[N];
    const int8x16_t a = vdupq_n_s8((int8_t)sink[2]);
    for (int i = 0; i < N; i++)
        acc[i] = vdupq_n_s32(i);
    for (size_t r = 0; r < rounds; r++)
#pragma GCC unroll 16
        for (int i = 0; i < N; i++)
            acc[i] = vdotq_s32(acc[i], a, vreinterpretq_s8_s32(acc[i]));
    for (int i = 0; i < N; i++)
        sink[3] += (float)vgetq_lane_s32(acc[i], 0);
    return (uint64_t)rounds * N * 16 * 2;
}

uint64_t sqz_peak_neondot(int integer, size_t rounds, float *sink)
{
    return integer ? integers(rounds, sink) : floats(rounds, sink);
}
