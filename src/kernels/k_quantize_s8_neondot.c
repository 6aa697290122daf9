/* quantize_s8, 16 at a time; vcvtn rounds half to even. */
#include "kernels/kernels.h"
#include <arm_neon.h>
#include <string.h>

typedef struct grid {
    float32x4_t lo, hi, scale;
    int32x4_t zero;
} grid;

static inline int16x4_t four(const grid *g, const float *x)
{
    float32x4_t v = vdivq_f32(vld1q_f32(x), g->scale);
    v = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), vceqq_f32(v, v))); /* NaN to 0 */
    v = vminq_f32(vmaxq_f32(v, g->lo), g->hi);
    return vqmovn_s32(vaddq_s32(vcvtnq_s32_f32(v), g->zero));
}

static inline void sixteen(const grid *g, const float *x, int8_t *q)
{
    const int16x8_t a = vcombine_s16(four(g, x), four(g, x + 4));
    const int16x8_t b = vcombine_s16(four(g, x + 8), four(g, x + 12));
    vst1q_s8(q, vcombine_s8(vqmovn_s16(a), vqmovn_s16(b)));
}

void sqz_quantize_s8_neondot(size_t n, const float *x, float scale, int32_t zero, int8_t *q)
{
    const grid g = {.lo = vdupq_n_f32((float)(-128 - zero)),
                    .hi = vdupq_n_f32((float)(127 - zero)),
                    .scale = vdupq_n_f32(scale),
                    .zero = vdupq_n_s32(zero)};
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        sixteen(&g, x + i, q + i);
    if (i < n) {
        float part[16] = {0};
        int8_t codes[16];
        memcpy(part, x + i, (n - i) * sizeof *part);
        sixteen(&g, part, codes);
        memcpy(q + i, codes, n - i);
    }
}
