/* softmax_f32 and norm_f32: the same bits on every instruction set, errors against long double. */
#include "kernels/kernels.h"
#include "sqz_test.h"
#include <math.h>

enum { SEED = 20260712 };

static size_t implementations(sqz_kernels out[SQZ_N_ISA])
{
    size_t n = 0;
    for (int isa = 0; isa < SQZ_N_ISA; isa++)
        if (sqz_isa_supported((sqz_isa)isa))
            sqz_kernels_select(&out[n++], (sqz_isa)isa);
    return n;
}

/* Blocks of exact size, so that the address sanitizer sees what lies outside. */
static float *block(size_t n)
{
    float *p = malloc(n ? n * sizeof *p : 1);
    if (!p)
        abort();
    return p;
}

static float *random_row(sqz_rng *r, size_t n, double lo, double hi)
{
    float *p = block(n);
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
        float *x = random_row(&r, rows * n, -10, round % 7 ? 10 : 100), *first = block(rows * n);
        for (size_t s = 0; s < n_set; s++) {
            float *y = block(rows * n);
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
        float *x = random_row(&r, rows * n, center - 1, center + 1), *first = block(rows * n);
        float *scale = random_row(&r, n, -2, 2), *bias = random_row(&r, n, -1, 1);
        const sqz_row_norm p = {.n = n,
                                .scale = round % 4 ? scale : NULL,
                                .bias = round % 5 ? bias : NULL,
                                .epsilon = 1e-3,
                                .centered = round % 2 || center > 0};
        for (size_t s = 0; s < n_set; s++) {
            float *y = block(rows * n), mean[3], inv[3];
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_softmax_is_exact_and_the_same_everywhere),
        cmocka_unit_test(test_softmax_of_masked_rows),
        cmocka_unit_test(test_normalization_is_exact_and_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
