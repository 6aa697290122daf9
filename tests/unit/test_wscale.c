/* Scales of weights: what each rule promises, against sums in double. */
#include "quant/qparams.h"
#include "quant/wscale.h"
#include "sqz_test.h"
#include <math.h>

#define N 700

static void fill(sqz_rng *r, float *m, size_t n, bool heavy) /* magnitudes, some far out */
{
    for (size_t i = 0; i < n; i++) {
        double x = sqz_rng_normal(r);
        m[i] = (float)fabs(heavy ? x * x * x : x);
    }
}

/* The sum that the search makes small, as it is written. */
static double loss(const float *m, size_t n, double scale, int limit)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += pow(fabs(m[i] - scale * fmin(nearbyint(m[i] / scale), limit)), 2.4);
    return sum;
}

static void test_the_loss_is_the_formula(void **state)
{
    (void)state;
    sqz_rng r = {.seed = 1};
    float m[N];
    for (int round = 0; round < 40; round++) {
        const int limit = (1 << (1 + round % 7)) - 1;
        fill(&r, m, N, round & 1);
        const float s = (float)(0.02 + 2 * sqz_rng_uniform(&r));
        const double want = loss(m, N, (double)s, limit) / pow((double)s, 2.4);
        TEST_NEAR(sqz_weight_loss(m, N, s, limit, INFINITY), want, 1e-4 * want + 1e-9);
    }
}

static void test_the_search_beats_every_scale_of_its_list(void **state)
{
    (void)state;
    sqz_rng r = {.seed = 2};
    float m[N];
    for (int round = 0; round < 24; round++) {
        const int limit = (const int[]){127, 7, 3, 1}[round % 4];
        fill(&r, m, N, round & 4);
        const double top = (double)sqz_weight_scale(m, N, limit, SQZ_W_MINMAX, false);
        const double got = loss(m, N, (double)sqz_weight_scale(m, N, limit, SQZ_W_MSE, false),
                                limit);
        for (int k = 20; k <= 100; k++)
            assert_true(got <= loss(m, N, top * k / 100, limit) * 1.0005);
        if (limit <= 7)
            assert_true(got < 0.9 * loss(m, N, top, limit));
    }
}

static void test_minmax_cuts_nothing_off(void **state)
{
    (void)state;
    const float m[] = {0.5f, 3.0f, 0.0f};
    assert_true(sqz_weight_scale(m, 3, 127, SQZ_W_MINMAX, false) == sqz_qparams_sym(3.0f, 127));
    assert_true(sqz_weight_scale(m, 3, 7, SQZ_W_MINMAX, false) == sqz_qparams_sym(3.0f, 7));
    assert_true(sqz_weight_scale(m, 3, 7, SQZ_W_MINMAX, true) == 0.5f);
}

static void test_lsq_starts_at_twice_the_mean(void **state)
{
    (void)state;
    sqz_rng r = {.seed = 3};
    float m[N];
    double sum = 0;
    fill(&r, m, N, true);
    for (int i = 0; i < N; i++)
        sum += (double)m[i];
    TEST_NEAR((double)sqz_weight_scale(m, N, 7, SQZ_W_LSQ, false), 2 * sum / N / sqrt(7.0), 1e-6);
    const float flat[] = {1.0f, 1.0f}; /* never coarser than needed */
    assert_true(sqz_weight_scale(flat, 2, 7, SQZ_W_LSQ, false) == sqz_qparams_sym(1.0f, 7));
}

static void test_powers_of_two(void **state)
{
    (void)state;
    sqz_rng r = {.seed = 4};
    float m[N];
    assert_true(sqz_scale_pow2(0.25f) == 0.25f && sqz_scale_pow2(0.26f) == 0.5f);
    for (int round = 0; round < 12; round++) {
        int e, limit = round % 2 ? 7 : 1;
        fill(&r, m, N, round & 2);
        const float s = sqz_weight_scale(m, N, limit, SQZ_W_MSE, true);
        assert_true(frexpf(s, &e) == 0.5f);
        const double got = loss(m, N, (double)s, limit);
        assert_true(got <= loss(m, N, 2.0 * (double)s, limit) * 1.0005);
        assert_true(got <= loss(m, N, 0.5 * (double)s, limit) * 1.0005);
    }
}

static void test_weights_without_size(void **state)
{
    (void)state;
    const float zeros[3] = {0}, tiny[2] = {1e-30f, 1e-31f};
    for (int rule = SQZ_W_MINMAX; rule <= SQZ_W_LSQ; rule++) {
        assert_true(sqz_weight_scale(zeros, 3, 7, (sqz_wrule)rule, false) == 1.0f);
        assert_true(sqz_weight_scale(tiny, 2, 7, (sqz_wrule)rule, false) == SQZ_SCALE_MIN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_loss_is_the_formula),
        cmocka_unit_test(test_the_search_beats_every_scale_of_its_list),
        cmocka_unit_test(test_minmax_cuts_nothing_off),
        cmocka_unit_test(test_lsq_starts_at_twice_the_mean),
        cmocka_unit_test(test_powers_of_two),
        cmocka_unit_test(test_weights_without_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
