/* block_rows: 8 floats at a time, the last ones from a copy. */
#include "kernels/kernels.h"
#include <arm_neon.h>
#include <math.h>
#include <string.h>

static float32x4x2_t load(const float *x, size_t n)
{
    float last[8] = {0};
    if (n >= 8)
        return vld1q_f32_x2(x);
    memcpy(last, x, n * sizeof *x);
    return vld1q_f32_x2(last);
}

/* The bits of |x| are in the order of |x|, NaN above all. */
static float magnitude(size_t n, const float *x)
{
    uint32x4_t most = vdupq_n_u32(0);
    for (size_t i = 0; i < n; i += 8) {
        const float32x4x2_t v = load(x + i, n - i);
        most = vmaxq_u32(most, vreinterpretq_u32_f32(vabsq_f32(v.val[0])));
        most = vmaxq_u32(most, vreinterpretq_u32_f32(vabsq_f32(v.val[1])));
    }
    const uint32_t bits = vmaxvq_u32(most);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static int32x4_t code(float32x4_t v)
{
    const int32x4_t r = vcvtnq_s32_f32(v);
    return vmaxq_s32(vminq_s32(r, vdupq_n_s32(127)), vdupq_n_s32(-127));
}

void sqz_block_rows_neondot(size_t k, size_t block, const float *x, int8_t *q, float *scale,
                            int32_t *less)
{
    for (size_t from = 0; from < k; from += block, x += block, q += block, scale++, less++) {
        const size_t n = k - from < block ? k - from : block;
        const float s = magnitude(n, x) / 127.0f;
        const float32x4_t by = vdupq_n_f32(s);
        int32x4_t sum = vdupq_n_s32(0);
        *scale = s;
        memset(q, 0, block);
        for (size_t i = 0; s > 0 && s < INFINITY && i < n; i += 8) { /* 0 beyond n */
            const float32x4x2_t v = load(x + i, n - i);
            const int32x4_t a = code(vdivq_f32(v.val[0], by)), b = code(vdivq_f32(v.val[1], by));
            sum = vaddq_s32(sum, vaddq_s32(a, b));
            vst1_s8(q + i, vmovn_s16(vcombine_s16(vmovn_s32(a), vmovn_s32(b))));
        }
        *less = -vaddvq_s32(sum);
    }
}
