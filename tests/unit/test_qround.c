/* test_qround.c: rounding of real numbers to grid points. */
#include "ir/qround.h"
#include "sqz_test.h"

static void test_halves_round_to_even(void **state)
{
    (void)state;
    assert_int_equal(sqz_qround(0.5f, 1.0f, 0, -128, 127), 0);
    assert_int_equal(sqz_qround(1.5f, 1.0f, 0, -128, 127), 2);
    assert_int_equal(sqz_qround(2.5f, 1.0f, 0, -128, 127), 2);
    assert_int_equal(sqz_qround(-0.5f, 1.0f, 0, -128, 127), 0);
    assert_int_equal(sqz_qround(-1.5f, 1.0f, 3, -128, 127), 1);
}

static void test_values_off_the_grid_saturate(void **state)
{
    (void)state;
    assert_int_equal(sqz_qround(1e30f, 0.1f, 5, -128, 127), 127);
    assert_int_equal(sqz_qround(-1e30f, 0.1f, 5, -128, 127), -128);
    assert_int_equal(sqz_qround(INFINITY, 0.1f, 5, -128, 127), 127);
    assert_int_equal(sqz_qround(-INFINITY, 0.1f, 5, -128, 127), -128);
    assert_int_equal(sqz_qround(1e9f, 0.5f, 0, INT32_MIN, INT32_MAX), 2000000000);
}

static void test_nan_gives_the_zero_point(void **state)
{
    (void)state;
    assert_int_equal(sqz_qround(NAN, 0.1f, 5, -128, 127), 5);
    assert_int_equal(sqz_qround(NAN, 0.1f, -128, -128, 127), -128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_halves_round_to_even),
        cmocka_unit_test(test_values_off_the_grid_saturate),
        cmocka_unit_test(test_nan_gives_the_zero_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
