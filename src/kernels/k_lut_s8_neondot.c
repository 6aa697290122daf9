/* lut_s8, 16 at a time: look-ups in 64 entries each; codes out of range leave the byte alone. */
#include "kernels/kernels.h"
#include <arm_neon.h>
#include <string.h>

static inline int8x16_t look_up(const int8x16x4_t t[4], int8x16_t x)
{
    uint8x16_t at = veorq_u8(vreinterpretq_u8_s8(x), vdupq_n_u8(128));
    int8x16_t v = vqtbl4q_s8(t[0], at);
    for (int k = 1; k < 4; k++)
        v = vqtbx4q_s8(v, t[k], vsubq_u8(at, vdupq_n_u8((uint8_t)(64 * k))));
    return v;
}

void sqz_lut_s8_neondot(const int8_t table[256], size_t n, const int8_t *x, int8_t *y)
{
    int8x16x4_t t[4];
    size_t i = 0;
    for (int k = 0; k < 4; k++)
        t[k] = vld1q_s8_x4(table + 64 * k);
    for (; i + 16 <= n; i += 16)
        vst1q_s8(y + i, look_up(t, vld1q_s8(x + i)));
    if (i < n) {
        int8_t last[16] = {0};
        memcpy(last, x + i, n - i);
        vst1q_s8(last, look_up(t, vld1q_s8(last)));
        memcpy(y + i, last, n - i);
    }
}
