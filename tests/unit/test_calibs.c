/* Calibrators against brute force over the numbers themselves. */
#include "calib/calib.h"
#include "sqz_test.h"

enum { N = 60000, SAMPLE = 1000, LEVELS = 256 };

typedef enum kind { UNIFORM, NORMAL, LAPLACE, OUTLIERS, RELU, SWISH, N_KIND } kind;
static const char *const kind_names[N_KIND] = {"uniform",  "normal", "laplace",
                                               "outliers", "relu",   "swish"};

static double draw(kind k, size_t i, sqz_rng *r)
{
    double u = sqz_rng_uniform(r) - 0.5, g = sqz_rng_normal(r);
    double laplace = copysign(-log(1 - 2 * fabs(u)), u);
    switch (k) {
    case UNIFORM: return 2 * u;
    case NORMAL: return g;
    case LAPLACE: return laplace;
    case OUTLIERS: return i % 20000 == 7 ? 30 : laplace;
    case RELU: return fmax(g, 0);
    default: return 3 * g / (1 + exp(-3 * g));
    }
}

static float *numbers(kind k)
{
    sqz_rng r = {.seed = 10 + (uint64_t)k};
    float *x = malloc(N * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < N; i++)
        x[i] = (float)draw(k, i, &r);
    return x;
}

static sqz_hist *seen(const float *x, size_t n)
{
    sqz_hist *h = malloc(sizeof *h);
    assert_non_null(h);
    sqz_hist_begin(h);
    for (size_t i = 0; i < n; i += SAMPLE)
        sqz_hist_see(h, x + i, SQZ_MIN(n - i, SAMPLE));
    return h;
}

/* Default options of a calibrator, in a buffer that any of them fits. */
static const void *defaults(const sqz_calib *c, double buffer[8])
{
    assert_true(c->info.opt_size <= 8 * sizeof *buffer);
    for (unsigned i = 0; i < c->info.n_opts; i++) {
        assert_int_equal(c->info.opts[i].type, SQZ_A_FLOAT);
        buffer[c->info.opts[i].offset / sizeof *buffer] = c->info.opts[i].def;
    }
    return buffer;
}

static sqz_range range_of(const char *name, const sqz_hist *h, unsigned levels, bool symmetric)
{
    double opts[8];
    sqz_range r;
    const sqz_calib *c = sqz_calib_find(name);
    assert_non_null(c);
    assert_int_equal(sqz_calib_range(NULL, c, defaults(c, opts), h, levels, symmetric, &r), SQZ_OK);
    return r;
}

/* Mean squared error of quantizing the numbers, by the definition of the grid. */
static double true_error(const float *x, double lo, double hi, unsigned levels)
{
    double step = (hi - lo) / (levels - 1), zero = nearbyint(-lo / step), sum = 0;
    for (size_t i = 0; i < N; i++) {
        double q = nearbyint((double)x[i] / step) + zero;
        q = fmin(fmax(q, 0), levels - 1);
        double d = (q - zero) * step - (double)x[i];
        sum += d * d;
    }
    return sum / N;
}

static void test_mse_is_as_good_as_searching_with_the_numbers(void **state)
{
    (void)state;
    for (kind k = 0; k < N_KIND; k++)
        for (unsigned levels = 16; levels <= 256; levels += 240) {
            float *x = numbers(k);
            sqz_hist *h = seen(x, N);
            sqz_range r = range_of("mse", h, levels, false);
            double lo = fmin((double)h->min, 0), hi = (double)h->max, best = INFINITY;
            for (int a = lo < 0 ? 3 : 24; a <= 24; a++)
                for (int b = 3; b <= 24; b++)
                    best = fmin(best, true_error(x, lo * a / 24, hi * b / 24, levels));
            double got = true_error(x, fmin((double)r.lo, 0), (double)r.hi, levels);
            if (got >
                best * 1.02) /* 2 %: noise of the numbers against their even spread in a bin */
                fail_msg("%s, %u levels: error %g of range %g %g, searched %g", kind_names[k],
                         levels, got, (double)r.lo, (double)r.hi, best);
            free(h);
            free(x);
        }
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void test_percentile_is_that_of_the_sorted_numbers(void **state)
{
    (void)state;
    for (kind k = 0; k < N_KIND; k++) {
        float *x = numbers(k);
        sqz_hist *h = seen(x, N);
        sqz_range r = range_of("percentile", h, LEVELS, false);
        qsort(x, N, sizeof *x, ascending);
        size_t tail = N / 10000; /* 99.99 */
        double bin = 2.0 * (double)h->reach / SQZ_HIST_BINS;
        /* between the neighbours of the percentile, and a bin for spreading evenly inside it */
        assert_true((double)r.lo >= (double)x[tail - 1] - bin &&
                    (double)r.lo <= (double)x[tail] + bin);
        assert_true((double)r.hi >= (double)x[N - 1 - tail] - bin &&
                    (double)r.hi <= (double)x[N - tail] + bin);
        free(h);
        free(x);
    }
}

static void test_minmax_is_exact(void **state)
{
    (void)state;
    float *x = numbers(OUTLIERS);
    sqz_hist *h = seen(x, N);
    sqz_range r = range_of("minmax", h, LEVELS, false);
    qsort(x, N, sizeof *x, ascending);
    assert_true(r.lo == x[0] && r.hi == x[N - 1]);
    free(h);
    free(x);
}

static void test_ema_is_the_weighted_mean_of_the_samples_ends(void **state)
{
    (void)state;
    float *x = numbers(LAPLACE);
    sqz_hist *h = seen(x, N);
    sqz_range r = range_of("ema", h, LEVELS, false);
    double lo = 0, hi = 0, total = 0;
    for (size_t s = 0; s < N / SAMPLE; s++) { /* weights 0.01 * 0.99^(samples after this one) */
        double w = 0.01 * pow(0.99, (double)(N / SAMPLE - 1 - s)), a = INFINITY, b = -INFINITY;
        for (size_t i = 0; i < SAMPLE; i++) {
            a = fmin(a, (double)x[s * SAMPLE + i]);
            b = fmax(b, (double)x[s * SAMPLE + i]);
        }
        lo += w * a;
        hi += w * b;
        total += w;
    }
    assert_true(fabs((double)r.lo - lo / total) < 1e-5 && fabs((double)r.hi - hi / total) < 1e-5);
    free(h);
    free(x);
}

/* KL divergence by the description in algorithms, straight from the bins; zeros left out. */
static double divergence(const sqz_hist *h, long first, long last)
{
    double *n = calloc(SQZ_HIST_BINS, sizeof *n), inside = 0, total = 0, kl = 0;
    for (long i = 0; i < SQZ_HIST_BINS; i++) {
        n[i] = (double)h->bin[i] - (i == SQZ_HIST_BINS / 2 ? (double)h->zeros : 0);
        total += n[i];
        inside += i >= first && i < last ? n[i] : 0;
    }
    double *p = calloc(SQZ_HIST_BINS, sizeof *p), *q = calloc(SQZ_HIST_BINS, sizeof *q);
    for (long i = 0; i < SQZ_HIST_BINS; i++)
        p[i < first ? first : i >= last ? last - 1 : i] += n[i] / total;
    long m = last - first, groups = m < LEVELS ? m : LEVELS;
    for (long g = 0; g < groups; g++) {
        double sum = 0, filled = 0;
        for (long i = first + g * m / groups; i < first + (g + 1) * m / groups; i++) {
            sum += n[i];
            filled += n[i] > 0;
        }
        for (long i = first + g * m / groups; i < first + (g + 1) * m / groups; i++)
            q[i] = n[i] > 0 ? sum / filled / inside : 0;
    }
    for (long i = first; i < last; i++) {
        double a = p[i] * (1 - 1e-4) + 1e-4 / (double)m, b = q[i] * (1 - 1e-4) + 1e-4 / (double)m;
        kl += a * log(a / b);
    }
    free(n);
    free(p);
    free(q);
    return kl;
}

static void test_entropy_is_near_the_least_divergence_of_all_thresholds(void **state)
{
    (void)state;
    for (kind k = 0; k < N_KIND; k++) {
        float *x = numbers(k);
        sqz_hist *h = seen(x, N);
        size_t first, last;
        sqz_hist_span(h, &first, &last);
        sqz_range r = range_of("entropy", h, LEVELS, false);
        double best = INFINITY, width = 2.0 * (double)h->reach / SQZ_HIST_BINS;
        long half = SQZ_HIST_BINS / 2, lo = SQZ_MIN((long)first, half), hi = (long)last;
        for (long t = 128; t <= half; t += 7) {
            long a = SQZ_MAX(lo, half - t), b = SQZ_MIN(hi, half + t);
            if (b - a >= LEVELS)
                best = fmin(best, divergence(h, a, b));
        }
        double got = divergence(h, half - (long)ceil(fmax(-(double)r.lo, 0) / width - 1e-3),
                                half + (long)ceil((double)r.hi / width - 1e-3));
        if (got > best * 1.05 + 1e-6) /* 5 %: the search steps over thresholds by 4 % */
            fail_msg("%s: divergence %g of range %g %g, searched %g", kind_names[k], got,
                     (double)r.lo, (double)r.hi, best);
        free(h);
        free(x);
    }
}

static void test_zeros_after_a_relu_do_not_decide(void **state)
{
    (void)state;
    float *x = numbers(RELU);
    sqz_hist *h = seen(x, N);
    sqz_range with, without;
    const char *const rules[] = {"entropy", "mse"};
    for (size_t i = 0; i < SQZ_COUNT(rules); i++) {
        with = range_of(rules[i], h, LEVELS, false);
        sqz_hist *g = malloc(sizeof *g);
        memcpy(g, h, sizeof *g);
        g->bin[SQZ_HIST_BINS / 2] += 1000 * N; /* a thousand times more zeros */
        g->zeros += 1000 * N;
        g->count += 1000 * N;
        without = range_of(rules[i], g, LEVELS, false);
        assert_true(with.lo == without.lo && with.hi == without.hi);
        free(g);
    }
    free(h);
    free(x);
}

static void test_entropy_cuts_no_more_than_it_may(void **state)
{
    (void)state;
    float *x = numbers(NORMAL);
    for (size_t i = 0; i < N; i += 2)
        x[i] = 0.1f * (float)(i % 20); /* constant channels: heaps at ten places */
    sqz_hist *h = seen(x, N);
    const double cuts[] = {0.1, 1.0};
    for (size_t i = 0; i < SQZ_COUNT(cuts); i++) {
        sqz_range r;
        const sqz_calib *c = sqz_calib_find("entropy");
        assert_int_equal(sqz_calib_range(NULL, c, &cuts[i], h, LEVELS, false, &r), SQZ_OK);
        assert_true(sqz_hist_outside(h, r) <= cuts[i] / 100 + 1e-9);
    }
    const double all = 100.0;
    sqz_range r; /* the heaps do decide when they may */
    assert_int_equal(sqz_calib_range(NULL, sqz_calib_find("entropy"), &all, h, LEVELS, false, &r),
                     SQZ_OK);
    assert_true(sqz_hist_outside(h, r) > 0.01);
    free(h);
    free(x);
}

static void test_rules_cut_outliers_and_keep_plain_data(void **state)
{
    (void)state;
    float *x = numbers(OUTLIERS), *u = numbers(UNIFORM);
    sqz_hist *h = seen(x, N), *g = seen(u, N);
    assert_true(range_of("percentile", h, LEVELS, false).hi < 15);
    assert_true(range_of("entropy", h, LEVELS, false).hi < 15);
    assert_true(range_of("ema", h, LEVELS, false).hi < 15);
    assert_true(range_of("minmax", h, LEVELS, false).hi == 30);
    for (size_t i = 0; i < sqz_n_calibs; i++) /* nothing to gain from cutting an even spread */
        assert_true(range_of(sqz_calibs[i]->info.name, g, LEVELS, false).hi > 0.98f);
    free(h);
    free(g);
    free(x);
    free(u);
}

static void test_every_rule_stays_inside_and_keeps_the_signs(void **state)
{
    (void)state;
    for (size_t c = 0; c < sqz_n_calibs; c++)
        for (kind k = 0; k < N_KIND; k++) {
            float *x = numbers(k);
            sqz_hist *h = seen(x, N);
            sqz_range r = range_of(sqz_calibs[c]->info.name, h, LEVELS, false);
            sqz_range s = range_of(sqz_calibs[c]->info.name, h, LEVELS, true);
            float most = fmaxf(-h->min, h->max);
            assert_true(r.lo <= r.hi && r.lo >= fminf(h->min, 0) && r.hi <= h->max);
            assert_true(s.lo == -s.hi && s.hi > 0 && s.hi <= most);
            free(h);
            free(x);
        }
}

static void test_order_of_samples_changes_nothing_but_the_moving_average(void **state)
{
    (void)state;
    float *x = numbers(OUTLIERS), *back = malloc(N * sizeof *back);
    for (size_t i = 0; i < N; i++)
        back[i] = x[N - 1 - i];
    sqz_hist *a = seen(x, N), *b = seen(back, N), *half = seen(x, N / 2),
             *rest = seen(x + N / 2, N / 2);
    sqz_hist_merge(half, rest);
    for (size_t c = 0; c < sqz_n_calibs; c++) {
        const char *name = sqz_calibs[c]->info.name;
        sqz_range ra = range_of(name, a, LEVELS, false), rb = range_of(name, b, LEVELS, false);
        sqz_range rm = range_of(name, half, LEVELS, false);
        assert_true(ra.lo == rm.lo && ra.hi == rm.hi);
        assert_true(strcmp(name, "ema") == 0 || (ra.lo == rb.lo && ra.hi == rb.hi));
    }
    free(a);
    free(b);
    free(half);
    free(rest);
    free(back);
    free(x);
}

static void test_nothing_constants_and_single_values(void **state)
{
    (void)state;
    for (size_t c = 0; c < sqz_n_calibs; c++)
        for (int symmetric = 0; symmetric <= 1; symmetric++) {
            const char *name = sqz_calibs[c]->info.name;
            const float zeros[3] = {0, 0, 0}, five[2] = {5, 5}, neg[2] = {-5, -5};
            sqz_hist *none = seen(zeros, 0), *zero = seen(zeros, 3);
            sqz_hist *plus = seen(five, 2), *minus = seen(neg, 2);
            sqz_range r = range_of(name, none, LEVELS, symmetric);
            assert_true(r.lo == 0 && r.hi == 0);
            r = range_of(name, zero, LEVELS, symmetric);
            assert_true(r.lo == 0 && r.hi == 0);
            r = range_of(name, plus, LEVELS, symmetric);
            assert_true(fabsf(r.hi - 5) < 0.01f);
            r = range_of(name, minus, LEVELS, symmetric);
            assert_true(fabsf(r.lo + 5) < 0.01f);
            free(none);
            free(zero);
            free(plus);
            free(minus);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mse_is_as_good_as_searching_with_the_numbers),
        cmocka_unit_test(test_percentile_is_that_of_the_sorted_numbers),
        cmocka_unit_test(test_minmax_is_exact),
        cmocka_unit_test(test_ema_is_the_weighted_mean_of_the_samples_ends),
        cmocka_unit_test(test_entropy_is_near_the_least_divergence_of_all_thresholds),
        cmocka_unit_test(test_zeros_after_a_relu_do_not_decide),
        cmocka_unit_test(test_entropy_cuts_no_more_than_it_may),
        cmocka_unit_test(test_rules_cut_outliers_and_keep_plain_data),
        cmocka_unit_test(test_every_rule_stays_inside_and_keeps_the_signs),
        cmocka_unit_test(test_order_of_samples_changes_nothing_but_the_moving_average),
        cmocka_unit_test(test_nothing_constants_and_single_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
