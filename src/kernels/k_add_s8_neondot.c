/* add_s8, 16 at a time: the steps of sqz_rt_add_s8. */
#include "kernels/requant_neon.h"
#include <string.h>

typedef struct operand {
    int32x4_t zero, mult, shift;
} operand;

static inline operand operand_of(int32_t zero, int32_t mult, int32_t shift)
{
    return (operand){vdupq_n_s32(zero), vdupq_n_s32(mult), vdupq_n_s32(shift)};
}

static inline int32x4_t common(const operand *o, int32x4_t q)
{
    return requant(vshlq_n_s32(vsubq_s32(q, o->zero), 20), o->mult, o->shift);
}

static inline int8x16_t sum_of(const operand o[3], int32_t sign, int32_t zero, int8x16_t a,
                               int8x16_t b)
{
    int32x4_t u[4], v[4];
    widen(a, u);
    widen(b, v);
    for (int j = 0; j < 4; j++) {
        int32x4_t w = common(&o[1], v[j]);
        w = sign > 0 ? vaddq_s32(common(&o[0], u[j]), w) : vsubq_s32(common(&o[0], u[j]), w);
        u[j] = requant(w, o[2].mult, o[2].shift);
    }
    return pack(u, zero);
}

void sqz_add_s8_neondot(const sqz_add_s8 *p, size_t n, const int8_t *a, const int8_t *b, int8_t *y)
{
    const sqz_rt_binary *r = &p->rt;
    const operand o[3] = {operand_of(r->zero_a, r->mult_a, r->shift_a),
                          operand_of(r->zero_b, r->mult_b, r->shift_b),
                          operand_of(0, r->mult_y, r->shift_y)};
    size_t i = 0;
    if (!p->fast) {
        sqz_add_s8_scalar(p, n, a, b, y);
        return;
    }
    for (; i + 16 <= n; i += 16)
        vst1q_s8(y + i, sum_of(o, p->sign, r->zero_y, vld1q_s8(a + i), vld1q_s8(b + i)));
    if (i < n) {
        int8_t u[16] = {0}, v[16] = {0};
        memcpy(u, a + i, n - i);
        memcpy(v, b + i, n - i);
        vst1q_s8(u, sum_of(o, p->sign, r->zero_y, vld1q_s8(u), vld1q_s8(v)));
        memcpy(y + i, u, n - i);
    }
}
