/* ew_s8.c: constants of the vector forms of int8 add, sub and mul; the forms are in kernels.h. */
#include "kernels/kernels.h"

int sqz_factor_make(sqz_factor *f, int32_t mult, int32_t shift)
{
    if (mult == 0 || shift < -30) /* below half a step for every |v| < 2^29 */
        *f = (sqz_factor){.mult = 0, .shift = 2, .round = 3};
    else if (shift < 0)
        *f = (sqz_factor){.mult = mult, .shift = 1 - shift, .round = (1 << -shift) + 1};
    else
        return 0;
    return 1;
}

int sqz_factor_small(sqz_factor *f, int32_t mult, int32_t shift)
{
    return sqz_factor_make(f, shift < -24 ? 0 : mult, shift - 7);
}

/* The operand x with this factor, at most 1/2; sign: of it in the sum. */
static int make_x(sqz_add_s8 *p, int32_t zero, int32_t mult, int32_t shift, int32_t sign)
{
    const int32_t bits = 11 - shift; /* 31 of the factor, 20 of them in the input already */
    if (shift > 0 || bits > 23)
        return 0;
    const int32_t one = (int32_t)1 << bits;
    int32_t low = mult & (one - 1);
    low -= low >= one / 2 ? one : 0; /* fits 16 bits with its sign while bits <= 16 */
    p->zero_x = zero;
    p->high_x = 4 * sign * ((mult - low) / one);
    p->low = low;
    p->wide = bits > 16;
    p->bits = bits;
    /* 2^10 for the first rounding, half a step for the second, which is away from zero */
    p->half = shift < 0 ? (1 << 10) + one / 2 : 1 << 10;
    p->below = shift < 0 ? 1 << 11 : 0;
    p->step = 4 * sign;
    return 1;
}

void sqz_add_s8_make(sqz_add_s8 *p, const sqz_rt_binary *rt, int32_t sign)
{
    const int32_t half = (int32_t)1 << 30; /* as a factor, with shift 0 */
    *p = (sqz_add_s8){.rt = *rt, .sign = sign};
    if (rt->act_min > INT8_MIN || rt->act_max < INT8_MAX ||
        !sqz_factor_make(&p->y, rt->mult_y, rt->shift_y))
        return;
    p->swapped = !(rt->mult_b == half && rt->shift_b == 0);
    if (!p->swapped) {
        p->scale_z = sign * (1 << 21);
        p->fast = make_x(p, rt->zero_a, rt->mult_a, rt->shift_a, 1);
    } else if (rt->mult_a == half && rt->shift_a == 0) {
        p->scale_z = 1 << 21;
        p->fast = make_x(p, rt->zero_b, rt->mult_b, rt->shift_b, sign);
    }
    p->sum = -p->scale_z * (p->swapped ? rt->zero_a : rt->zero_b);
}

void sqz_mul_s8_make(sqz_mul_s8 *p, const sqz_rt_binary *rt)
{
    *p = (sqz_mul_s8){.rt = *rt};
    p->fast = rt->act_min == INT8_MIN && rt->act_max == INT8_MAX &&
              sqz_factor_small(&p->y, rt->mult_y, rt->shift_y);
}
