/* int8 add, sub, mul and tables: every instruction set against the runtime, over all pairs of codes
 * for many scales; operands are heap blocks of exactly their size. */
#include "kernel_test.h"
#include "kernels/multiplier.h"

enum { SEED = 20241123, PAIRS = 65536 };

/* All pairs of codes, in an order that mixes lanes. */
static void all_pairs(int8_t *a, int8_t *b)
{
    for (uint32_t i = 0; i < PAIRS; i++) {
        const uint32_t k = i * 40503u & 0xffff; /* odd: every k once */
        a[i] = (int8_t)((int)(k & 255) - 128);
        b[i] = (int8_t)((int)(k >> 8) - 128);
    }
}

/* Near 1, a power of two (ties come out exactly), or anything. */
static double random_scale(sqz_rng *r)
{
    switch (sqz_rng_below(r, 3)) {
    case 0: return ldexp(1, (int)sqz_rng_below(r, 9) - 4);
    case 1: return (float)(0.5 + sqz_rng_uniform(r));
    default: return (float)ldexp(0.5 + sqz_rng_uniform(r), (int)sqz_rng_below(r, 33) - 16);
    }
}

static int32_t random_zero(sqz_rng *r)
{
    return sqz_rng_below(r, 4) ? (int32_t)sqz_rng_below(r, 256) - 128
                               : (int32_t[]){-128, 127, 0}[sqz_rng_below(r, 3)];
}

/* As ops/ew_int.c makes them. */
static sqz_rt_binary random_add(sqz_rng *r)
{
    sqz_rt_binary p = {.zero_a = random_zero(r),
                       .zero_b = random_zero(r),
                       .zero_y = random_zero(r),
                       .act_min = -128,
                       .act_max = 127};
    const double a = random_scale(r), b = sqz_rng_below(r, 6) ? random_scale(r) : a;
    const double twice = 2 * (a > b ? a : b), y = sqz_rng_below(r, 3) ? twice : random_scale(r);
    sqz_multiplier(a / twice, &p.mult_a, &p.shift_a);
    sqz_multiplier(b / twice, &p.mult_b, &p.shift_b);
    sqz_multiplier(twice / (1048576.0 * y * random_scale(r)), &p.mult_y, &p.shift_y);
    return p;
}

static void check(const char *isa, const char *what, const sqz_rt_binary *p, const int8_t *a,
                  const int8_t *b, const int8_t *y, const int8_t *want)
{
    for (size_t i = 0; i < PAIRS; i++)
        if (y[i] != want[i])
            fail_msg("%s: %d %s %d is %d, expected %d (mult %d %d %d, shift %d %d %d, zero %d %d "
                     "%d)",
                     isa, a[i], what, b[i], y[i], want[i], p->mult_a, p->mult_b, p->mult_y,
                     p->shift_a, p->shift_b, p->shift_y, p->zero_a, p->zero_b, p->zero_y);
}

static void test_add_and_sub_of_all_codes_are_the_runtimes(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 0};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    int8_t *a = block(PAIRS), *b = block(PAIRS), *y = block(PAIRS), *want = block(PAIRS);
    int fast = 0, wide = 0, real = 0;
    all_pairs(a, b);
    for (int round = 0; round < 160; round++) {
        const sqz_rt_binary rt = random_add(&r);
        const int32_t sign = round % 2 ? 1 : -1;
        sqz_add_s8 p;
        sqz_add_s8_make(&p, &rt, sign);
        (sign > 0 ? sqz_rt_add_s8 : sqz_rt_sub_s8)(&rt, a, b, want, PAIRS);
        for (size_t s = 0; s < n_set; s++) {
            set[s].add_s8(&p, PAIRS, a, b, y);
            check(sqz_isa_name(set[s].isa), sign > 0 ? "+" : "-", &rt, a, b, y, want);
            sqz_add_s8 fitted = p;
            sqz_add_s8_fit(&fitted, set[s].add_s8);
            set[s].add_s8(&fitted, PAIRS, a, b, y);
            check(sqz_isa_name(set[s].isa), sign > 0 ? "+" : "-", &rt, a, b, y, want);
            real += s + 1 == n_set && fitted.real;
        }
        fast += p.fast;
        wide += p.fast && p.wide;
    }
    assert_true(fast > 100 && fast < 160 && wide > 5 && 2 * real > fast); /* all forms came up */
    free(a);
    free(b);
    free(y);
    free(want);
}

static void test_mul_of_all_codes_is_the_runtimes(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 1 << 20};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    int8_t *a = block(PAIRS), *b = block(PAIRS), *y = block(PAIRS), *want = block(PAIRS);
    int fast = 0;
    all_pairs(a, b);
    for (int round = 0; round < 160; round++) {
        sqz_rt_binary rt = random_add(&r);
        sqz_mul_s8 p;
        sqz_multiplier(ldexp(random_scale(&r), -(int)sqz_rng_below(&r, 24)), &rt.mult_y,
                       &rt.shift_y);
        sqz_mul_s8_make(&p, &rt);
        sqz_rt_mul_s8(&rt, a, b, want, PAIRS);
        for (size_t s = 0; s < n_set; s++) {
            set[s].mul_s8(&p, PAIRS, a, b, y);
            check(sqz_isa_name(set[s].isa), "*", &rt, a, b, y, want);
        }
        fast += p.fast;
    }
    assert_true(fast > 100 && fast < 160);
    free(a);
    free(b);
    free(y);
    free(want);
}

static void test_any_length_and_results_in_place(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 2 << 20};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < 600; round++) {
        const size_t n = sqz_rng_below(&r, 200);
        const sqz_rt_binary rt = random_add(&r);
        int8_t *a = block(n), *b = block(n), *y = block(n), *want = block(n), table[256];
        sqz_add_s8 add;
        sqz_mul_s8 mul;
        sqz_add_s8_make(&add, &rt, 1);
        if (round % 2)
            sqz_add_s8_fit(&add, set[n_set - 1].add_s8);
        sqz_mul_s8_make(&mul, &rt);
        for (int i = 0; i < 256; i++)
            table[i] = (int8_t)((int)sqz_rng_below(&r, 256) - 128);
        for (size_t i = 0; i < n; i++) {
            a[i] = (int8_t)((int)sqz_rng_below(&r, 256) - 128);
            b[i] = (int8_t)((int)sqz_rng_below(&r, 256) - 128);
        }
        for (size_t s = 0; s < n_set; s++) {
            memcpy(y, a, n);
            sqz_rt_add_s8(&rt, a, b, want, (int32_t)n);
            set[s].add_s8(&add, n, y, b, y);
            assert_memory_equal(y, want, n);
            memcpy(y, b, n);
            sqz_rt_mul_s8(&rt, a, b, want, (int32_t)n);
            set[s].mul_s8(&mul, n, a, y, y);
            assert_memory_equal(y, want, n);
            memcpy(y, a, n);
            sqz_rt_lut_s8(table, a, want, (int32_t)n);
            set[s].lut_s8(table, n, y, y);
            assert_memory_equal(y, want, n);
        }
        free(a);
        free(b);
        free(y);
        free(want);
    }
}

static void test_dequantize_is_the_formula(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 3 << 20};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < 200; round++) {
        const size_t n = sqz_rng_below(&r, 100);
        const int32_t zero = (int32_t)sqz_rng_below(&r, 511) - 255;
        const float scale = (float)random_scale(&r);
        int8_t *x = block(n);
        float *y = block(n * sizeof *y);
        for (size_t i = 0; i < n; i++)
            x[i] = (int8_t)((int)sqz_rng_below(&r, 256) - 128);
        for (size_t s = 0; s < n_set; s++) {
            set[s].dequantize_s8(n, x, scale, zero, y);
            for (size_t i = 0; i < n; i++)
                assert_true(y[i] == scale * (float)(x[i] - zero));
        }
        free(x);
        free(y);
    }
}

/* The one-division form against sqz_rt_requant where halves are, for every shift. */
static void test_a_factor_is_the_requantization(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 4 << 20};
    for (int round = 0; round < 200000; round++) {
        const int32_t shift = -(int32_t)sqz_rng_below(&r, 32);
        const int32_t mult = sqz_rng_below(&r, 3)
                                 ? (int32_t)((1u << 30) + sqz_rng_below(&r, 1u << 30))
                                 : (int32_t)1 << 30;
        /* about k + 1/2 steps of the output */
        const double step = ldexp(1, 31 - shift) / mult;
        const double at = ((double)sqz_rng_below(&r, 600) - 300 + 0.5) * step;
        int32_t v = (int32_t)((double)sqz_rng_below(&r, 5) - 2 +
                              (fabs(at) < 5e8 ? at : (double)sqz_rng_below(&r, 1u << 29)));
        v = v < -(1 << 29) + 1 ? -(1 << 29) + 1 : v > (1 << 29) - 1 ? (1 << 29) - 1 : v;
        sqz_factor f;
        if (!sqz_factor_make(&f, mult, shift)) {
            assert_int_equal(shift, 0);
            continue;
        }
        const int32_t t = 4 * v, high = (int32_t)(((int64_t)t * f.mult) >> 32);
        const int32_t got = (high + f.round - (t < 0 ? 2 : 0)) >> f.shift;
        if (got != sqz_rt_requant(v, mult, shift))
            fail_msg("%d * %d, shift %d: %d, expected %d", v, mult, shift, got,
                     sqz_rt_requant(v, mult, shift));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_and_sub_of_all_codes_are_the_runtimes),
        cmocka_unit_test(test_mul_of_all_codes_is_the_runtimes),
        cmocka_unit_test(test_any_length_and_results_in_place),
        cmocka_unit_test(test_dequantize_is_the_formula),
        cmocka_unit_test(test_a_factor_is_the_requantization),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
