/* softmax_f32, norm_f32, fold_f32, moments_f32 and affine_f32: the same bits on every instruction
 * set, errors against long double. */
#include "kernel_test.h"
#include <math.h>

enum { SEED = 20260712 };

static float *floats(size_t n) { return block(n * sizeof(float)); }

static float *random_row(sqz_rng *r, size_t n, double lo, double hi)
{
    float *p = floats(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)(lo + (hi - lo) * sqz_rng_uniform(r));
    return p;
}

/* ---- softmax ---- */

/* One row; a relative error of a few units and what the rounding of x - max moves. The logarithm
 * has the relative error of the sum as an absolute one. */
static void check_softmax(const float *x, const float *y, size_t n, bool log_of)
{
    long double top = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        top = fmaxl(top, x[i]);
    for (size_t i = 0; i < n; i++)
        sum += expl(x[i] - top);
    for (size_t i = 0; i < n; i++) {
        const long double d = x[i] - top, want = log_of ? d - logl(sum) : expl(d) / sum;
        const long double size = log_of ? 2 + fabsl(want) : want * (3 + fabsl(d));
        if (!(fabsl(y[i] - want) <= size * 0x1p-23L + 0x1p-148L))
            fail_msg("n %zu, element %zu: %.9g, expected %.9Lg", n, i, (double)y[i], want);
    }
}

static void test_softmax_is_exact_and_the_same_everywhere(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 0};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < 300; round++) {
        const size_t rows = 1 + sqz_rng_below(&r, 3);
        const size_t n = 1 + sqz_rng_below(&r, round % 50 ? 100 : 5000);
        const bool log_of = round % 2;
        float *x = random_row(&r, rows * n, -10, round % 7 ? 10 : 100), *first = floats(rows * n);
        for (size_t s = 0; s < n_set; s++) {
            float *y = floats(rows * n);
            memcpy(y, x, rows * n * sizeof *y);
            set[s].softmax_f32(rows, n, s % 2 ? x : y, y, log_of); /* in place or not */
            if (s == 0)
                memcpy(first, y, rows * n * sizeof *y);
            assert_memory_equal(y, first, rows * n * sizeof *y);
            free(y);
        }
        for (size_t i = 0; i < rows; i++)
            check_softmax(x + i * n, first + i * n, n, log_of);
        free(x);
        free(first);
    }
}

static void test_softmax_of_masked_rows(void **state)
{
    (void)state;
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (size_t s = 0; s < n_set; s++)
        for (size_t n = 1; n < 40; n++) {
            float x[40], y[40];
            for (size_t i = 0; i < n; i++)
                x[i] = -INFINITY;
            set[s].softmax_f32(1, n, x, y, false);
            for (size_t i = 0; i < n; i++)
                assert_true(y[i] == 1.0f / (float)n);
            x[n - 1] = -3; /* the only one that is not masked */
            set[s].softmax_f32(1, n, x, y, false);
            for (size_t i = 0; i < n; i++)
                assert_true(y[i] == (i == n - 1 ? 1.0f : 0.0f));
            x[n / 2] = NAN;
            set[s].softmax_f32(1, n, x, y, false);
            for (size_t i = 0; i < n; i++)
                assert_true(isnan(y[i]));
        }
}

/* ---- normalization ---- */

static void check_norm(const sqz_row_norm *p, const float *x, const float *y)
{
    const long double n = (long double)p->n;
    long double mean = 0, square = 0;
    for (size_t i = 0; i < p->n && p->centered; i++)
        mean += x[i] / n;
    for (size_t i = 0; i < p->n; i++)
        square += (x[i] - mean) * (x[i] - mean) / n;
    const long double inv = 1 / sqrtl(square + (long double)p->epsilon);
    for (size_t i = 0; i < p->n; i++) {
        const long double scale = p->scale ? p->scale[i] : 1, bias = p->bias ? p->bias[i] : 0;
        const long double t = (x[i] - mean) * inv, want = t * scale + bias;
        if (!(fabsl(y[i] - want) <= 0x1p-22L * ((fabsl(t) + 1) * fabsl(scale) + fabsl(bias))))
            fail_msg("n %zu, element %zu: %.9g, expected %.9Lg", p->n, i, (double)y[i], want);
    }
}

static void test_normalization_is_exact_and_the_same_everywhere(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 1};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < 300; round++) {
        const size_t rows = 1 + sqz_rng_below(&r, 3);
        const size_t n = 1 + sqz_rng_below(&r, round % 50 ? 100 : 5000);
        const double center = round % 3 ? 0 : 1e4; /* the mean is large against the variance */
        float *x = random_row(&r, rows * n, center - 1, center + 1), *first = floats(rows * n);
        float *scale = random_row(&r, n, -2, 2), *bias = random_row(&r, n, -1, 1);
        const sqz_row_norm p = {.n = n,
                                .scale = round % 4 ? scale : NULL,
                                .bias = round % 5 ? bias : NULL,
                                .epsilon = 1e-3,
                                .centered = round % 2 || center > 0};
        for (size_t s = 0; s < n_set; s++) {
            float *y = floats(rows * n), mean[3], inv[3];
            memcpy(y, x, rows * n * sizeof *y);
            set[s].norm_f32(&p, rows, s % 2 ? x : y, y, mean, s ? inv : NULL);
            if (s == 0)
                memcpy(first, y, rows * n * sizeof *y);
            assert_memory_equal(y, first, rows * n * sizeof *y);
            free(y);
        }
        for (size_t i = 0; i < rows; i++)
            check_norm(&p, x + i * n, first + i * n);
        free(x);
        free(first);
        free(scale);
        free(bias);
    }
}

/* ---- folds of rows and columns ---- */

static double fold(sqz_fold_kind kind, const float *x, size_t n)
{
    double sum = 0, top = x[0];
    for (size_t i = 0; i < n; i++) {
        const double v = x[i];
        sum += kind == SQZ_FOLD_abs ? fabs(v) : kind == SQZ_FOLD_square ? v * v : v;
        if (kind == SQZ_FOLD_max ? v > top || isnan(v) : v < top || isnan(v))
            top = v;
    }
    return kind == SQZ_FOLD_max || kind == SQZ_FOLD_min ? top : sum;
}

static void test_folds_of_rows(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 2};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < 500; round++) {
        const sqz_fold_kind kind = (sqz_fold_kind)(1 + round % (SQZ_N_FOLD - 1));
        const size_t rows = 1 + sqz_rng_below(&r, 3);
        const size_t n = 1 + sqz_rng_below(&r, round % 50 ? 100 : 5000);
        float *x = random_row(&r, rows * n, -1, 1);
        if (round % 10 == 0 && (kind == SQZ_FOLD_max || kind == SQZ_FOLD_min))
            x[sqz_rng_below(&r, n)] = NAN;
        double first[3];
        for (size_t s = 0; s < n_set; s++) {
            double y[3];
            set[s].fold_f32(kind, rows, n, x, y);
            if (s == 0)
                memcpy(first, y, sizeof y);
            for (size_t i = 0; i < rows; i++) {
                const double want = fold(kind, x + i * n, n);
                assert_true(y[i] == first[i] || (isnan(y[i]) && isnan(first[i])));
                /* blocks of up to 32 additions in float, of partial sums of random sign */
                if (!(fabs(y[i] - want) <= 32 * 0x1p-24 * sqrt((double)n)) &&
                    !(isnan(want) && isnan(y[i])))
                    fail_msg("kind %d, n %zu: %.17g, expected %.17g", (int)kind, n, y[i], want);
            }
        }
        free(x);
    }
}

static void test_moments_and_affine_maps_of_columns(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 3};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < 300; round++) {
        const size_t rows = 1 + sqz_rng_below(&r, 64), n = 1 + sqz_rng_below(&r, 150);
        const size_t ld = n + sqz_rng_below(&r, 4), count = (rows - 1) * ld + n;
        float *x = random_row(&r, count, -1, 1), *from = random_row(&r, n, -1, 1);
        float *factor = random_row(&r, n, -2, 2), *shift = random_row(&r, n, -1, 1);
        const float *less = round % 2 ? from : NULL;
        for (size_t s = 0; s < n_set; s++) {
            float *a = floats(n), *b = floats(n), *y = floats(count);
            memcpy(y, x, count * sizeof *y);
            set[s].moments_f32(rows, n, ld, x, less, a, b);
            set[s].moments_f32(rows, n, ld, x, less, a, NULL); /* the sums alone: the same */
            set[s].affine_f32(rows, n, ld, y, from, factor, shift, y);
            for (size_t j = 0; j < n; j++) {
                float first = 0, second = 0; /* the order is that of the rows: exact */
                for (size_t i = 0; i < rows; i++) {
                    const float v = x[i * ld + j], d = v - (less ? less[j] : 0);
                    first += d;
                    second = fmaf(d, d, second);
                    assert_true(y[i * ld + j] == fmaf(v - from[j], factor[j], shift[j]));
                }
                assert_true(a[j] == first && b[j] == second);
            }
            for (size_t i = 0; i + 1 < rows; i++) /* what lies between the rows stays */
                assert_memory_equal(y + i * ld + n, x + i * ld + n, (ld - n) * sizeof *y);
            free(a);
            free(b);
            free(y);
        }
        free(x);
        free(from);
        free(factor);
        free(shift);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_softmax_is_exact_and_the_same_everywhere),
        cmocka_unit_test(test_softmax_of_masked_rows),
        cmocka_unit_test(test_normalization_is_exact_and_the_same_everywhere),
        cmocka_unit_test(test_folds_of_rows),
        cmocka_unit_test(test_moments_and_affine_maps_of_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
