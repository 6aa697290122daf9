/* sqz_rt_elementwise.c: operators without a sum over taps, int8. */
#include "runtime/sqz_rt.h"

/* A centred input on the common grid of both: (q - zero) * 2^20 scaled by mult_* <= 1/2. The 20
 * bits keep the rounding of this step far below one step of the output. |q - zero| <= 255, so it
 * stays below 2^28. */
static int32_t common(int32_t q, int32_t zero, int32_t mult, int32_t shift)
{
    return sqz_rt_requant((q - zero) * ((int32_t)1 << 20), mult, shift);
}

/* y = a + sign * b. */
static void add(const sqz_rt_binary *p, int32_t sign, const int8_t *a, const int8_t *b, int8_t *y,
                int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t u = common(a[i], p->zero_a, p->mult_a, p->shift_a);
        int32_t v = common(b[i], p->zero_b, p->mult_b, p->shift_b);
        y[i] = sqz_rt_to_s8(u + sign * v, p->mult_y, p->shift_y, p->zero_y, p->act_min, p->act_max);
    }
}

void sqz_rt_add_s8(const sqz_rt_binary *p, const int8_t *a, const int8_t *b, int8_t *y, int32_t n)
{
    add(p, 1, a, b, y, n);
}

void sqz_rt_sub_s8(const sqz_rt_binary *p, const int8_t *a, const int8_t *b, int8_t *y, int32_t n)
{
    add(p, -1, a, b, y, n);
}

void sqz_rt_mul_s8(const sqz_rt_binary *p, const int8_t *a, const int8_t *b, int8_t *y, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = sqz_rt_small_to_s8((a[i] - p->zero_a) * (b[i] - p->zero_b), p->mult_y, p->shift_y,
                                  p->zero_y, p->act_min, p->act_max);
}

void sqz_rt_lut_s8(const int8_t table[256], const int8_t *x, int8_t *y, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = table[x[i] + 128];
}

void sqz_rt_rescale_s8(int32_t zero_in, int32_t mult, int32_t shift, int32_t zero_out,
                       const int8_t *x, int8_t *y, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = sqz_rt_small_to_s8(x[i] - zero_in, mult, shift, zero_out, INT8_MIN, INT8_MAX);
}

void sqz_rt_prelu_s8(const sqz_rt_prelu *p, const int8_t *x, int8_t *y)
{
    for (int32_t i = 0; i < p->n; i++)
        for (int32_t c = 0; c < p->c; c++) {
            int32_t d = *x++ - p->in_zero;
            int32_t mult = d < 0 ? p->mult_neg[c] : p->mult_pos;
            int32_t shift = d < 0 ? p->shift_neg[c] : p->shift_pos;
            if (mult < 0) { /* a negative slope turns the sign before the roundings */
                mult = -mult;
                d = -d;
            }
            *y++ = sqz_rt_small_to_s8(d, mult, shift, p->out_zero, INT8_MIN, INT8_MAX);
        }
}
