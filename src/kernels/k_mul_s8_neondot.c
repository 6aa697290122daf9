/* mul_s8, 16 at a time: the steps of sqz_rt_mul_s8. */
#include "kernels/requant_neon.h"
#include <string.h>

static inline int8x16_t product(const sqz_mul_s8 *p, const int8_t *a, const int8_t *b)
{
    const sqz_rt_binary *r = &p->rt;
    const int none = r->shift_y < -24; /* sqz_rt_small_to_s8 */
    const int32x4_t mult = vdupq_n_s32(none ? 0 : r->mult_y),
                    shift = vdupq_n_s32(none ? 0 : r->shift_y - 7);
    const int32x4_t za = vdupq_n_s32(r->zero_a), zb = vdupq_n_s32(r->zero_b);
    int32x4_t u[4], v[4];
    widen(vld1q_s8(a), u);
    widen(vld1q_s8(b), v);
    for (int j = 0; j < 4; j++) {
        int32x4_t t = vmulq_s32(vsubq_s32(u[j], za), vsubq_s32(v[j], zb));
        u[j] = requant(vshlq_n_s32(t, 7), mult, shift);
    }
    return pack(u, r->zero_y);
}

void sqz_mul_s8_neondot(const sqz_mul_s8 *p, size_t n, const int8_t *a, const int8_t *b, int8_t *y)
{
    size_t i = 0;
    if (!p->fast) {
        sqz_mul_s8_scalar(p, n, a, b, y);
        return;
    }
    for (; i + 16 <= n; i += 16)
        vst1q_s8(y + i, product(p, a + i, b + i));
    if (i < n) {
        int8_t u[16] = {0}, v[16] = {0};
        memcpy(u, a + i, n - i);
        memcpy(v, b + i, n - i);
        vst1q_s8(u, product(p, u, v));
        memcpy(y + i, u, n - i);
    }
}
