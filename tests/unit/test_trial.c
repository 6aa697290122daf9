/* Which of two candidates is better. */
#include "search/trial.h"
#include "sqz_test.h"

/* Both orders must give the same answer. */
static void expect(const sqz_trial *better, const sqz_trial *worse)
{
    assert_ptr_equal(sqz_trial_better(better, worse, true, 1000), better);
    assert_ptr_equal(sqz_trial_better(worse, better, true, 1000), better);
}

static void test_fitting_comes_before_accuracy(void **p)
{
    (void)p;
    const sqz_trial small = {.fits = true, .accuracy = 0.5, .agreement = 0.6},
                    large = {.excess = 0.1, .accuracy = 0.9, .agreement = 1.0};
    expect(&small, &large);
    assert_ptr_equal(sqz_trial_better(NULL, &small, true, 1000), &small);
    assert_ptr_equal(sqz_trial_better(&small, NULL, true, 1000), &small);
}

static void test_closest_is_nearest_to_the_limits(void **p)
{
    (void)p;
    const sqz_trial known = {.excess = 2.0, .accuracy = 0.9, .agreement = 1.0},
                    unknown = {.excess = 0.1, .accuracy = NAN, .agreement = NAN},
                    inaccurate = {.accuracy = 0.2, .agreement = 0.2};
    expect(&unknown, &known);
    expect(&inaccurate, &unknown); /* on the device at least */
}

static void test_accuracy_counts_beyond_its_noise(void **p)
{
    (void)p;
    /* tie: sqrt((0.01 + 0.01) / 1000) = 0.0045 */
    const sqz_trial a = {.fits = true, .accuracy = 0.910, .agreement = 0.99, .distance = 2.0},
                    b = {.fits = true, .accuracy = 0.905, .agreement = 0.99, .distance = 1.0},
                    c = {.fits = true, .accuracy = 0.906, .agreement = 0.99, .distance = 1.0};
    expect(&a, &b); /* 0.005 apart */
    expect(&c, &a); /* 0.004 apart: the one closer to the float model */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fitting_comes_before_accuracy),
        cmocka_unit_test(test_closest_is_nearest_to_the_limits),
        cmocka_unit_test(test_accuracy_counts_beyond_its_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
