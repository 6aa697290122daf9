/* The best centers on a line, against trying every partition. */
#include "quant/kmeans.h"
#include "sqz_test.h"
#include <math.h>
#include <stdlib.h>

static double loss(const float *x, const float *w, size_t n, const float *c, uint32_t k)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double best = INFINITY;
        for (uint32_t j = 0; j < k; j++)
            best = fmin(best, fabs((double)x[i] - (double)c[j]));
        sum += (w ? (double)w[i] : 1.0) * best * best;
    }
    return sum;
}

static int by_value(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (x[0] > y[0]) - (x[0] < y[0]);
}

/* Least cost of sorted (x, w) pairs in k intervals: every partition. */
static double brute(const float (*p)[2], size_t n, uint32_t k)
{
    double best = INFINITY;
    for (size_t cut = k == 1 ? n : 1; cut <= n; cut++) {
        double w = 0, s = 0, q = 0;
        const size_t from = k == 1 ? 0 : n - cut;
        for (size_t i = from; i < n; i++) {
            w += (double)p[i][1];
            s += (double)p[i][1] * (double)p[i][0];
            q += (double)p[i][1] * (double)p[i][0] * (double)p[i][0];
        }
        const double rest = k == 1 ? 0 : from >= k - 1 ? brute(p, from, k - 1) : INFINITY;
        best = fmin(best, rest + q - s * s / w);
    }
    return best;
}

static void test_few_points_are_split_in_the_best_way(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = 1};
    for (int round = 0; round < 60; round++) {
        float x[11], w[11], p[11][2], center[4];
        const size_t n = 5 + sqz_rng_below(&r, 7);
        const uint32_t k = 1 + (uint32_t)sqz_rng_below(&r, 4);
        uint32_t have;
        for (size_t i = 0; i < n; i++) {
            p[i][0] = x[i] = (float)(100 + sqz_rng_normal(&r)); /* far from 0 */
            p[i][1] = w[i] = round % 2 ? (float)(0.01 + sqz_rng_uniform(&r)) : 1.0f;
        }
        qsort(p, n, sizeof p[0], by_value);
        TEST_OK(ctx, sqz_kmeans(ctx, x, round % 2 ? w : NULL, n, k, center, &have));
        assert_int_equal(have, k);
        const double best = brute((const float(*)[2])p, n, k);
        TEST_NEAR(loss(x, w, n, center, k), best, 1e-6 * best + 1e-7);
    }
    sqz_ctx_free(ctx);
}

static void test_many_points_are_near_the_best_for_their_bins(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = 2};
    enum { N = 30000, K = 16 };
    float *x = malloc(N * sizeof *x), center[K], even[K];
    uint32_t have;
    for (size_t i = 0; i < N; i++)
        x[i] = (float)sqz_rng_normal(&r);
    TEST_OK(ctx, sqz_kmeans(ctx, x, NULL, N, K, center, &have));
    assert_int_equal(have, K);
    for (uint32_t k = 0; k < K; k++) {
        assert_true(k == 0 || center[k] > center[k - 1]);
        even[k] = -3.2f + 0.4f * (float)k + 0.2f;
    }
    const double got = loss(x, NULL, N, center, K) / N;
    /* Max (1960): 0.009497 for 16 levels of a normal variable, 0.01154 for even ones */
    assert_true(got < 0.0098 && got < 0.9 * loss(x, NULL, N, even, K) / N);
    free(x);
    sqz_ctx_free(ctx);
}

static void test_weights_draw_the_centers(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    const float x[] = {0, 1, 10, 11}, w[] = {1, 1, 0, 1};
    float center[2];
    uint32_t have;
    TEST_OK(ctx, sqz_kmeans(ctx, x, w, 4, 2, center, &have));
    assert_true(fabsf(center[0] - 0.5f) < 1e-6f && fabsf(center[1] - 11) < 1e-5f);
    sqz_ctx_free(ctx);
}

static void test_fewer_values_than_centers_are_exact(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    const float x[] = {2, -1, 2, 2, -1};
    float center[16];
    uint32_t have;
    TEST_OK(ctx, sqz_kmeans(ctx, x, NULL, 5, 16, center, &have));
    assert_true(have == 2 && center[0] == -1 && center[1] == 2);
    TEST_OK(ctx, sqz_kmeans(ctx, x, NULL, 0, 16, center, &have));
    assert_int_equal(have, 0);
    sqz_ctx_free(ctx);
}

static void test_the_nearest_of_two_is_the_lower(void **state)
{
    (void)state;
    const float c[] = {-1, 0, 2};
    assert_int_equal(sqz_center_of(c, 3, -5), 0);
    assert_int_equal(sqz_center_of(c, 3, -0.5f), 0);
    assert_int_equal(sqz_center_of(c, 3, 0.9f), 1);
    assert_int_equal(sqz_center_of(c, 3, 1), 1);
    assert_int_equal(sqz_center_of(c, 3, 7), 2);
    assert_int_equal(sqz_center_of(c, 1, 7), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_points_are_split_in_the_best_way),
        cmocka_unit_test(test_many_points_are_near_the_best_for_their_bins),
        cmocka_unit_test(test_weights_draw_the_centers),
        cmocka_unit_test(test_fewer_values_than_centers_are_exact),
        cmocka_unit_test(test_the_nearest_of_two_is_the_lower),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
