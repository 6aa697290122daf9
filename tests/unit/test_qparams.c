/* Grids from ranges: properties that hold for every range. */
#include "quant/qparams.h"
#include "sqz_test.h"

enum { ROUNDS = 20000 };

/* Ranges of all sizes; some one-sided, some far from 0. */
static sqz_range random_range(sqz_rng *r)
{
    double size = exp2(sqz_rng_uniform(r) * 60.0 - 14.0);
    double lo = (sqz_rng_uniform(r) - 0.5) * size, hi = lo + sqz_rng_uniform(r) * size;
    return (sqz_range){(float)lo, (float)hi};
}

static void test_zero_is_on_the_grid_and_the_ends_are_half_a_step_off_at_most(void **state)
{
    (void)state;
    sqz_rng r = {.seed = 1};
    for (int i = 0; i < ROUNDS; i++) {
        sqz_range range = random_range(&r);
        float scale;
        int32_t zero;
        bool degenerate;
        sqz_qparams_s8(range, &scale, &zero, &degenerate);
        if (degenerate) { /* both ends rounded to the same number, 0 between them */
            assert_true(range.lo == 0.0f && range.hi == 0.0f);
            continue;
        }
        double s = (double)scale, lo = s * (-128 - zero), hi = s * (127 - zero);
        assert_true(zero >= -128 && zero <= 127);
        assert_int_equal(sqz_quantize_one(0.0f, scale, zero, -128, 127), zero);
        /* half a step, and the rounding of a scale to float over 255 steps */
        double slack = s * (0.5 + 255 * 6e-8);
        assert_true(fmin((double)range.lo, 0) >= lo - slack);
        assert_true(fmax((double)range.hi, 0) <= hi + slack);
    }
}

static void test_every_value_of_the_range_is_at_most_half_a_step_off(void **state)
{
    (void)state;
    sqz_rng r = {.seed = 2};
    for (int i = 0; i < ROUNDS; i++) {
        sqz_range range = random_range(&r);
        float scale;
        int32_t zero;
        sqz_qparams_s8(range, &scale, &zero, NULL);
        double lo = (double)scale * (-128 - zero), hi = (double)scale * (127 - zero);
        float x = (float)(lo + sqz_rng_uniform(&r) * (hi - lo));
        int32_t q = sqz_quantize_one(x, scale, zero, -128, 127);
        double back = (double)scale * (q - zero);
        assert_true(fabs(back - (double)x) <= (double)scale * (0.5 + 1e-5));
    }
}

static void test_ranges_without_extent_are_said(void **state)
{
    (void)state;
    const sqz_range bad[] = {{0, 0},    {-0.0f, 0},     {NAN, 1},
                             {-1, NAN}, {-INFINITY, 1}, {0, INFINITY}};
    for (size_t i = 0; i < SQZ_COUNT(bad); i++) {
        float scale = 0;
        int32_t zero = 7;
        bool degenerate = false;
        sqz_qparams_s8(bad[i], &scale, &zero, &degenerate);
        assert_true(degenerate && scale == 1.0f && zero == 0);
    }
}

static void test_scales_have_a_floor_and_survive_the_largest_floats(void **state)
{
    (void)state;
    float scale;
    int32_t zero;
    bool degenerate;
    sqz_qparams_s8((sqz_range){-1e-40f, 1e-40f}, &scale, &zero, &degenerate);
    assert_true(!degenerate && scale == SQZ_SCALE_MIN);
    sqz_qparams_s8((sqz_range){-3.4e38f, 3.4e38f}, &scale, &zero, &degenerate);
    assert_true(!degenerate && isfinite(scale) && zero >= -1 && zero <= 0);
    assert_true(sqz_qparams_sym(1e-38f, 127) == SQZ_SCALE_MIN);
    assert_true(sqz_qparams_sym(0.0f, 127) == 1.0f);
    assert_true(sqz_qparams_sym(NAN, 127) == 1.0f);
    assert_true(sqz_qparams_sym(12.7f, 127) == (float)((double)12.7f / 127));
}

static void test_one_sided_ranges_use_all_levels(void **state)
{
    (void)state;
    float scale;
    int32_t zero;
    sqz_qparams_s8((sqz_range){0, 6}, &scale, &zero, NULL);
    assert_int_equal(zero, -128);
    sqz_qparams_s8((sqz_range){2, 6}, &scale, &zero, NULL);
    assert_int_equal(zero, -128);
    assert_true(scale == (float)(6.0 / 255));
    sqz_qparams_s8((sqz_range){-6, -2}, &scale, &zero, NULL);
    assert_int_equal(zero, 127);
}

static void test_bias_scale_is_the_float_product(void **state)
{
    (void)state;
    sqz_rng r = {.seed = 3};
    for (int i = 0; i < ROUNDS; i++) {
        volatile float a = (float)exp2(sqz_rng_uniform(&r) * 40 - 24);
        volatile float b = (float)exp2(sqz_rng_uniform(&r) * 40 - 24);
        volatile float product = a * b;
        assert_true(sqz_bias_scale(a, b) == product);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_is_on_the_grid_and_the_ends_are_half_a_step_off_at_most),
        cmocka_unit_test(test_every_value_of_the_range_is_at_most_half_a_step_off),
        cmocka_unit_test(test_ranges_without_extent_are_said),
        cmocka_unit_test(test_scales_have_a_floor_and_survive_the_largest_floats),
        cmocka_unit_test(test_one_sided_ranges_use_all_levels),
        cmocka_unit_test(test_bias_scale_is_the_float_product),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
