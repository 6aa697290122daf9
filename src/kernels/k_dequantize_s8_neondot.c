/* dequantize_s8, 8 at a time. */
#include "kernels/kernels.h"
#include <arm_neon.h>

static inline float32x4_t real(int16x4_t v, int32x4_t z, float scale)
{
    return vmulq_n_f32(vcvtq_f32_s32(vsubq_s32(vmovl_s16(v), z)), scale);
}

void sqz_dequantize_s8_neondot(size_t n, const int8_t *x, float scale, int32_t zero, float *y)
{
    const int32x4_t z = vdupq_n_s32(zero);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        int16x8_t v = vmovl_s8(vld1_s8(x + i));
        vst1q_f32(y + i, real(vget_low_s16(v), z, scale));
        vst1q_f32(y + i + 4, real(vget_high_s16(v), z, scale));
    }
    for (; i < n; i++)
        y[i] = scale * (float)(x[i] - zero);
}
