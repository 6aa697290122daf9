/* ew_s8.c: constants of the vector forms of int8 add, sub and mul; the forms are in kernels.h. */
#include "kernels/kernels.h"
#include <math.h>
#include <string.h>

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

/* The form in float and the other one agree on all pairs. */
static int same_everywhere(const sqz_add_s8 *p, sqz_add_s8_fn add)
{
    sqz_add_s8 exact = *p;
    int8_t a[256], b[256], want[256], y[256];
    exact.real = 0;
    for (int i = 0; i < 256; i++)
        b[i] = (int8_t)(i - 128);
    for (int k = -128; k < 128; k++) {
        memset(a, k, sizeof a);
        add(&exact, sizeof a, a, b, want);
        add(p, sizeof a, a, b, y);
        if (memcmp(y, want, sizeof y) != 0)
            return 0;
    }
    return 1;
}

/* What float rounds differently falls on a border now and then: the neighbors are tried, too. */
void sqz_add_s8_fit(sqz_add_s8 *p, sqz_add_s8_fn add)
{
    static const float next[] = {0, INFINITY, -INFINITY}, shifts[] = {0, 0x1p-17f, -0x1p-17f};
    const sqz_rt_binary *rt = &p->rt;
    if (!p->fast)
        return;
    const double unit = ldexp(rt->mult_y, rt->shift_y - 31);
    const double a = ldexp(rt->mult_a, rt->shift_a - 11) * unit; /* the 20 bits of the input */
    const double b = p->sign * ldexp(rt->mult_b, rt->shift_b - 11) * unit;
    for (int k = 0; k < 27 && !p->real; k++) {
        const int i = k / 3 % 3, j = k / 9;
        p->by_a = i ? nextafterf((float)a, next[i]) : (float)a;
        p->by_b = j ? nextafterf((float)b, next[j]) : (float)b;
        p->more = (float)(rt->zero_y - rt->zero_a * a - rt->zero_b * b) + shifts[k % 3];
        p->real = 1;
        p->real = same_everywhere(p, add);
    }
}

void sqz_mul_s8_make(sqz_mul_s8 *p, const sqz_rt_binary *rt)
{
    *p = (sqz_mul_s8){.rt = *rt};
    p->fast = rt->act_min == INT8_MIN && rt->act_max == INT8_MAX &&
              sqz_factor_small(&p->y, rt->mult_y, rt->shift_y);
}
