/* The firmware runtime against formulas in wide integers and doubles. */
#include "kernels/multiplier.h"
#include "runtime/sqz_rt.h"
#include "sqz_test.h"

enum { SEED = 99 };

/* The two steps as gemmlowp writes them, in 128 bits: no trick of the runtime's is used. */
static int64_t requant(int64_t acc, int64_t mult, int shift)
{
    if (shift > 0) {
        acc *= (int64_t)1 << shift;
        acc = acc > INT32_MAX ? INT32_MAX : acc < INT32_MIN ? INT32_MIN : acc;
    }
    __int128 product = (__int128)acc * mult;
    __int128 nudge = product >= 0 ? (__int128)1 << 30 : 1 - ((__int128)1 << 30);
    int64_t high = (int64_t)((product + nudge) / ((__int128)1 << 31)); /* towards zero */
    if (shift >= 0)
        return high;
    int64_t unit = (int64_t)1 << -shift, size = high < 0 ? -high : high;
    int64_t rounded = (size + unit / 2) / unit; /* halves away from zero */
    return high < 0 ? -rounded : rounded;
}

static int64_t s8(int64_t v) { return v < -128 ? -128 : v > 127 ? 127 : v; }

static void test_requant_is_the_two_step_rounding(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 0};
    static const int32_t corner[] = {INT32_MIN, INT32_MIN + 1, INT32_MAX, -1, 0, 1, 3, -3};
    static const int32_t factor[] = {0, 1 << 30, INT32_MAX, (1 << 30) + 1, 1518500250};
    for (size_t c = 0; c < SQZ_COUNT(corner); c++)
        for (size_t f = 0; f < SQZ_COUNT(factor); f++)
            for (int s = -31; s <= 30; s++)
                assert_int_equal(sqz_rt_requant(corner[c], factor[f], s),
                                 requant(corner[c], factor[f], s));
    for (int i = 0; i < 200000; i++) {
        int32_t acc = (int32_t)(sqz_rng_u64(&r) >> 32) >> sqz_rng_below(&r, 31);
        int32_t mult = (int32_t)((UINT64_C(1) << 30) + sqz_rng_below(&r, UINT64_C(1) << 30));
        int s = (int)sqz_rng_below(&r, 40) - 31;
        assert_int_equal(sqz_rt_requant(acc, mult, s), requant(acc, mult, s));
    }
}

static void test_to_s8_saturates_without_overflow(void **state)
{
    (void)state;
    for (int zero = -128; zero <= 127; zero += 51) {
        assert_int_equal(sqz_rt_to_s8(INT32_MAX, INT32_MAX, 30, zero, -128, 127), 127);
        assert_int_equal(sqz_rt_to_s8(INT32_MIN, INT32_MAX, 30, zero, -128, 127), -128);
        assert_int_equal(sqz_rt_to_s8(INT32_MIN, INT32_MAX, 0, zero, zero, zero), zero);
    }
}

static void test_small_numbers_are_rounded_once(void **state)
{
    (void)state;
    for (int v = -2040; v <= 2040; v++) { /* a quarter: two plain steps would give 1 for v = 1 */
        int8_t q = sqz_rt_small_to_s8(v, 1 << 30, -1, 0, -128, 127);
        assert_true(fabs(q - fmax(-128, fmin(127, v / 4.0))) <= 0.5);
    }
    assert_int_equal(sqz_rt_small_to_s8((1 << 24) - 1, INT32_MAX, -25, 3, -128, 127), 3);
    assert_int_equal(sqz_rt_small_to_s8((1 << 24) - 1, INT32_MAX, -24, 3, -128, 127), 4);
}

static void test_multiplier_is_within_half_a_unit(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 1 << 20};
    int32_t mult, shift;
    for (int i = 0; i < 100000; i++) {
        double m = ldexp(0.5 + sqz_rng_uniform(&r) / 2, (int)sqz_rng_below(&r, 60) - 30);
        sqz_multiplier(m, &mult, &shift);
        assert_true(mult >= 1 << 30);
        assert_true(fabs(ldexp(mult, shift - 31) - m) <= ldexp(0.5, shift - 31));
    }
    sqz_multiplier(1 - 1e-16, &mult, &shift); /* rounds up to the next power of two */
    assert_int_equal(mult, 1 << 30);
    assert_int_equal(shift, 1);
    sqz_multiplier(0, &mult, &shift);
    assert_int_equal(mult, 0);
    assert_int_equal(shift, 0);
    sqz_multiplier(1e-12, &mult, &shift); /* moves no accumulator by half a step */
    assert_int_equal(mult, 0);
    sqz_multiplier(ldexp(1, -32), &mult, &shift);
    assert_int_equal(shift, -31);
    const double none[] = {-1, (double)NAN, ldexp(1, -33)}, most[] = {ldexp(1, 30), INFINITY};
    for (size_t i = 0; i < SQZ_COUNT(none); i++) {
        sqz_multiplier(none[i], &mult, &shift);
        assert_true(mult == 0 && shift == 0);
    }
    for (size_t i = 0; i < SQZ_COUNT(most); i++) {
        sqz_multiplier(most[i], &mult, &shift);
        assert_true(mult == INT32_MAX && shift == 30);
    }
    sqz_multiplier(nextafter(ldexp(1, 30), 0), &mult, &shift);
    assert_true(shift == 30 && mult == INT32_MAX);
}

/* A binary operator on random grids; want(a, b) in real numbers, allowed error in steps. */
static void binary(void (*rt)(const sqz_rt_binary *, const int8_t *, const int8_t *, int8_t *,
                              int32_t),
                   char op)
{
    sqz_rng r = {SEED, (uint64_t)op << 20};
    for (int round = 0; round < 60; round++) {
        double sa = exp(-6 * sqz_rng_uniform(&r)), sb = exp(-6 * sqz_rng_uniform(&r));
        double top = SQZ_MAX(sa, sb), sy = (op == '*' ? 80 * sa * sb : 1.5 * top);
        sqz_rt_binary p = {.zero_a = (int32_t)sqz_rng_below(&r, 256) - 128,
                           .zero_b = (int32_t)sqz_rng_below(&r, 256) - 128,
                           .zero_y = (int32_t)sqz_rng_below(&r, 256) - 128,
                           .act_min = -128,
                           .act_max = 127};
        sqz_multiplier(sa / (2 * top), &p.mult_a, &p.shift_a);
        sqz_multiplier(sb / (2 * top), &p.mult_b, &p.shift_b);
        sqz_multiplier(op == '*' ? sa * sb / sy : 2 * top / (1048576 * sy), &p.mult_y, &p.shift_y);
        for (int a = -128; a < 128; a += 3)
            for (int b = -128; b < 128; b += 5) {
                int8_t qa = (int8_t)a, qb = (int8_t)b, q;
                double u = sa * (a - p.zero_a), v = sb * (b - p.zero_b);
                double y = (op == '+' ? u + v : op == '-' ? u - v : u * v) / sy + p.zero_y;
                rt(&p, &qa, &qb, &q, 1);
                y = y < -128 ? -128 : y > 127 ? 127 : y;
                assert_true(fabs(q - y) <=
                            0.5 + 1.0 / 256); /* the first rounding has 7 more bits */
            }
    }
}

static void test_add_sub_mul_are_within_half_a_step(void **state)
{
    (void)state;
    binary(sqz_rt_add_s8, '+');
    binary(sqz_rt_sub_s8, '-');
    binary(sqz_rt_mul_s8, '*');
}

static void test_prelu_and_rescale_are_within_half_a_step(void **state)
{
    (void)state;
    const double s_in = 0.02, s_out = 0.013, slope[3] = {0.25, -0.6, 0};
    int32_t mult_neg[3], shift_neg[3];
    sqz_rt_prelu p = {.n = 1,
                      .c = 3,
                      .in_zero = 10,
                      .out_zero = -7,
                      .mult_neg = mult_neg,
                      .shift_neg = shift_neg};
    sqz_multiplier(s_in / s_out, &p.mult_pos, &p.shift_pos);
    for (int c = 0; c < 3; c++) {
        sqz_multiplier(s_in * fabs(slope[c]) / s_out, &mult_neg[c], &shift_neg[c]);
        mult_neg[c] = slope[c] < 0 ? -mult_neg[c] : mult_neg[c];
    }
    for (int q = -128; q < 128; q++) {
        int8_t x[3] = {(int8_t)q, (int8_t)q, (int8_t)q}, y[3], z;
        double v = s_in * (q - 10);
        sqz_rt_prelu_s8(&p, x, y);
        for (int c = 0; c < 3; c++) {
            double want = (v < 0 ? v * slope[c] : v) / s_out - 7;
            assert_true(fabs(y[c] - SQZ_MAX(-128, SQZ_MIN(127, want))) <= 0.5 + 1.0 / 256);
        }
        sqz_rt_rescale_s8(10, p.mult_pos, p.shift_pos, -7, x, &z, 1);
        assert_true(fabs(z - SQZ_MAX(-128, SQZ_MIN(127, v / s_out - 7))) <= 0.5 + 1.0 / 256);
    }
}

static void test_softmax_is_within_half_a_step_and_saturates(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 5 << 20};
    uint32_t table[256];
    const double scale = 0.05;
    for (int d = 0; d < 256; d++)
        table[d] = (uint32_t)lround(8388608 * exp(-d * scale));
    for (int round = 0; round < 300; round++) {
        int8_t x[64], y[64];
        int32_t c = 1 + (int32_t)sqz_rng_below(&r, 64), top = -128;
        double sum = 0;
        for (int32_t i = 0; i < c; i++) {
            x[i] = (int8_t)((int)sqz_rng_below(&r, 256) - 128);
            top = SQZ_MAX(top, x[i]);
        }
        for (int32_t i = 0; i < c; i++)
            sum += exp((x[i] - top) * scale);
        sqz_rt_softmax_s8(table, x, y, 1, c);
        for (int32_t i = 0; i < c; i++) {
            double want = SQZ_MIN(256 * exp((x[i] - top) * scale) / sum - 128, 127);
            assert_true(fabs(y[i] - want) <= 0.5 + 1e-3);
        }
    }
    const int8_t lone = -5;
    int8_t q;
    sqz_rt_softmax_s8(table, &lone, &q, 1, 1);
    assert_int_equal(q, 127); /* 1 is one step more than the grid has */
}

/* A random window with its output size. */
static sqz_rt_pool random_pool(sqz_rng *r)
{
    sqz_rt_pool p = {.n = 1 + (int32_t)sqz_rng_below(r, 2),
                     .in_h = 1 + (int32_t)sqz_rng_below(r, 7),
                     .in_w = 1 + (int32_t)sqz_rng_below(r, 7),
                     .c = 1 + (int32_t)sqz_rng_below(r, 3),
                     .k_h = 1 + (int32_t)sqz_rng_below(r, 3),
                     .k_w = 1 + (int32_t)sqz_rng_below(r, 3),
                     .stride_h = 1 + (int32_t)sqz_rng_below(r, 3),
                     .stride_w = 1 + (int32_t)sqz_rng_below(r, 3),
                     .dil_h = 1 + (int32_t)sqz_rng_below(r, 2),
                     .dil_w = 1 + (int32_t)sqz_rng_below(r, 2),
                     .pad_top = (int32_t)sqz_rng_below(r, 3),
                     .pad_left = (int32_t)sqz_rng_below(r, 3),
                     .pad_bottom = (int32_t)sqz_rng_below(r, 3),
                     .pad_right = (int32_t)sqz_rng_below(r, 3),
                     .in_zero = (int32_t)sqz_rng_below(r, 256) - 128,
                     .out_zero = (int32_t)sqz_rng_below(r, 256) - 128,
                     .count_pad = (int32_t)sqz_rng_below(r, 2)};
    /* one output more than fits sometimes: what ceil_mode gives */
    p.out_h = 1 + (p.in_h + p.pad_top + (int32_t)sqz_rng_below(r, 2)) / p.stride_h;
    p.out_w = 1 + (p.in_w + p.pad_left + (int32_t)sqz_rng_below(r, 2)) / p.stride_w;
    return p;
}

/* Sum, maximum and numbers of taps of one window, by testing every tap on its own. */
static void window(const sqz_rt_pool *p, const int8_t *x, const int32_t at[4], int32_t *top,
                   int64_t *sum, int32_t *inside, int32_t *padded)
{
    *top = -128;
    *sum = *inside = *padded = 0;
    for (int32_t ky = 0; ky < p->k_h; ky++)
        for (int32_t kx = 0; kx < p->k_w; kx++) {
            int32_t iy = at[1] * p->stride_h - p->pad_top + ky * p->dil_h;
            int32_t ix = at[2] * p->stride_w - p->pad_left + kx * p->dil_w;
            if (iy < p->in_h + p->pad_bottom && ix < p->in_w + p->pad_right)
                ++*padded;
            if (iy < 0 || ix < 0 || iy >= p->in_h || ix >= p->in_w)
                continue;
            int32_t q = x[((at[0] * p->in_h + iy) * p->in_w + ix) * p->c + at[3]];
            *top = SQZ_MAX(*top, q);
            *sum += q - p->in_zero;
            ++*inside;
        }
}

static void test_pools_agree_with_a_tap_by_tap_count(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 6 << 20};
    for (int round = 0; round < 300; round++) {
        sqz_rt_pool p = random_pool(&r);
        int8_t x[2 * 7 * 7 * 3], avg[2 * 10 * 10 * 3], max[2 * 10 * 10 * 3];
        int32_t mult[9], shift[9], i = 0;
        for (int k = 0; k < 9; k++)
            sqz_multiplier(0.7 / (k + 1), &mult[k], &shift[k]);
        for (size_t j = 0; j < sizeof x; j++)
            x[j] = (int8_t)((int)sqz_rng_below(&r, 256) - 128);
        p.mult = mult;
        p.shift = shift;
        sqz_rt_avgpool_s8(&p, x, avg);
        sqz_rt_maxpool_s8(&p, x, max);
        for (int32_t n = 0; n < p.n; n++)
            for (int32_t oy = 0; oy < p.out_h; oy++)
                for (int32_t ox = 0; ox < p.out_w; ox++)
                    for (int32_t c = 0; c < p.c; c++, i++) {
                        const int32_t at[4] = {n, oy, ox, c};
                        int32_t top, inside, padded;
                        int64_t sum;
                        window(&p, x, at, &top, &sum, &inside, &padded);
                        int32_t k = p.count_pad ? padded : inside;
                        assert_int_equal(max[i], top);
                        assert_int_equal(
                            avg[i],
                            k ? s8(requant(128 * sum, mult[k - 1], shift[k - 1] - 7) + p.out_zero)
                              : p.out_zero);
                    }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requant_is_the_two_step_rounding),
        cmocka_unit_test(test_to_s8_saturates_without_overflow),
        cmocka_unit_test(test_small_numbers_are_rounded_once),
        cmocka_unit_test(test_multiplier_is_within_half_a_unit),
        cmocka_unit_test(test_add_sub_mul_are_within_half_a_step),
        cmocka_unit_test(test_prelu_and_rescale_are_within_half_a_step),
        cmocka_unit_test(test_softmax_is_within_half_a_step_and_saturates),
        cmocka_unit_test(test_pools_agree_with_a_tap_by_tap_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
