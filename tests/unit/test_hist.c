/* The streaming histogram: what it holds does not depend on how the numbers came. */
#include "calib/hist.h"
#include "sqz_test.h"

enum { N = 20000 };

/* Numbers of very different sizes, so that the range doubles many times. */
static float *numbers(uint64_t seed)
{
    sqz_rng r = {.seed = seed};
    float *x = malloc(N * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < N; i++) {
        double size = exp2(sqz_rng_uniform(&r) * 20.0 * (double)i / N - 5.0);
        x[i] = i % 7 == 0 ? 0.0f : (float)(sqz_rng_normal(&r) * size);
    }
    return x;
}

static sqz_hist *seen(const float *x, size_t n, size_t piece)
{
    sqz_hist *h = malloc(sizeof *h);
    assert_non_null(h);
    sqz_hist_begin(h);
    for (size_t i = 0; i < n; i += piece)
        sqz_hist_see(h, x + i, SQZ_MIN(piece, n - i));
    return h;
}

static void assert_same_counts(const sqz_hist *a, const sqz_hist *b)
{
    assert_memory_equal(a->bin, b->bin, sizeof a->bin);
    assert_true(a->reach == b->reach && a->min == b->min && a->max == b->max);
    assert_true(a->count == b->count && a->zeros == b->zeros);
    assert_true(a->nonfinite == b->nonfinite && a->masked == b->masked);
}

static void test_bins_are_those_of_the_definition(void **state)
{
    (void)state;
    float *x = numbers(1);
    sqz_hist *h = seen(x, N, 100);
    uint64_t *want = calloc(SQZ_HIST_BINS, sizeof *want);
    double width = 2.0 * (double)h->reach / SQZ_HIST_BINS;
    for (size_t i = 0; i < N; i++) {
        long k = (long)floor(fabs((double)x[i]) / width);
        want[x[i] < 0 ? SQZ_HIST_BINS / 2 - 1 - k : SQZ_HIST_BINS / 2 + k]++;
    }
    assert_memory_equal(h->bin, want, sizeof h->bin);
    free(want);
    free(h);
    free(x);
}

static void test_totals_are_exact(void **state)
{
    (void)state;
    float *x = numbers(2);
    sqz_hist *h = seen(x, N, 333);
    float lo = x[0], hi = x[0];
    uint64_t zeros = 0;
    for (size_t i = 0; i < N; i++) {
        lo = SQZ_MIN(lo, x[i]);
        hi = SQZ_MAX(hi, x[i]);
        zeros += x[i] == 0.0f;
    }
    assert_true(h->min == lo && h->max == hi);
    assert_int_equal(h->zeros, zeros);
    assert_int_equal(h->count, N);
    assert_int_equal(h->batches, (N + 332) / 333);
    assert_true(lo > -h->reach && hi < h->reach && fmax(-lo, hi) >= (double)h->reach / 2);
    free(h);
    free(x);
}

static void test_pieces_and_order_do_not_change_counts(void **state)
{
    (void)state;
    float *x = numbers(3), *back = malloc(N * sizeof *back);
    for (size_t i = 0; i < N; i++)
        back[i] = x[N - 1 - i];
    sqz_hist *whole = seen(x, N, N), *ones = seen(x, N, 1), *odd = seen(x, N, 1027);
    sqz_hist *reversed = seen(back, N, 50);
    assert_same_counts(whole, ones);
    assert_same_counts(whole, odd);
    assert_same_counts(whole, reversed);
    free(whole);
    free(ones);
    free(odd);
    free(reversed);
    free(back);
    free(x);
}

static void test_merging_is_seeing_one_after_the_other(void **state)
{
    (void)state;
    float *x = numbers(4); /* the second half is much wider than the first */
    for (size_t at = 0; at <= N; at += N / 4) {
        sqz_hist *all = seen(x, N, 250);
        sqz_hist *a = seen(x, at, 250), *b = seen(x + at, N - at, 250);
        sqz_hist *c = malloc(sizeof *c);
        memcpy(c, b, sizeof *c);
        sqz_hist_merge(c, a); /* the other way round: same counts */
        sqz_hist_merge(a, b);
        assert_same_counts(all, a);
        assert_same_counts(all, c);
        assert_int_equal(a->batches, all->batches);
        assert_true(fabs(a->ema_hi - all->ema_hi) <= 1e-12 * fabs(all->ema_hi));
        assert_true(fabs(a->ema_lo - all->ema_lo) <= 1e-12 * fabs(all->ema_lo));
        free(all);
        free(a);
        free(b);
        free(c);
    }
    free(x);
}

static void test_halves_of_seeing_equal_the_whole(void **state)
{
    (void)state;
    float *x = numbers(5);
    x[17] = NAN;
    x[18] = -INFINITY;
    sqz_hist *want = seen(x, N, N), *h = seen(x, 0, 1);
    sqz_hist_bins *bins = calloc(1, sizeof *bins);
    sqz_hist_part part[3], sample = {.min = INFINITY, .max = -INFINITY};
    const size_t cut[4] = {0, 5000, 5003, N};
    for (int i = 0; i < 3; i++) {
        sqz_hist_scan(sqz_scan_f32_scalar, x + cut[i], cut[i + 1] - cut[i], (sqz_hist_pick){0},
                      &part[i]);
        sqz_hist_combine(&sample, &part[i]);
    }
    sqz_hist_take(h, &sample);
    for (int i = 2; i >= 0; i--)
        sqz_hist_fill(x + cut[i], cut[i + 1] - cut[i], &part[i], h->reach, (sqz_hist_pick){0},
                      bins);
    sqz_hist_drain(h, sample.min, sample.max, bins);
    assert_same_counts(want, h);
    for (size_t i = 0; i < SQZ_HIST_BINS; i++)
        assert_true(bins->n[0][i] == 0 && bins->n[1][i] == 0);
    free(bins);
    free(h);
    free(want);
    free(x);
}

static void test_what_no_grid_holds_is_counted_apart(void **state)
{
    (void)state;
    const float x[] = {1.0f, NAN, INFINITY, -INFINITY, -3.4e38f, 2e30f, -2.0f, -0.0f, 0.0f};
    sqz_hist *h = seen(x, SQZ_COUNT(x), 4);
    assert_int_equal(h->count, 4);
    assert_int_equal(h->zeros, 2);
    assert_int_equal(h->nonfinite, 3);
    assert_int_equal(h->masked, 2);
    assert_true(h->min == -2.0f && h->max == 1.0f && h->reach == 4.0f);
    assert_int_equal(h->bin[SQZ_HIST_BINS / 2], 2);
    free(h);
}

static void test_extreme_magnitudes_stay_inside(void **state)
{
    (void)state;
    const float x[] = {1e-45f, -1e-45f, 1e30f, -1e30f, 1e-38f, 0.0f};
    for (size_t first = 0; first < SQZ_COUNT(x); first++) { /* each one decides the first range */
        float y[SQZ_COUNT(x)];
        for (size_t i = 0; i < SQZ_COUNT(x); i++)
            y[i] = x[(first + i) % SQZ_COUNT(x)];
        sqz_hist *h = seen(y, SQZ_COUNT(y), 1), *all = seen(x, SQZ_COUNT(x), SQZ_COUNT(x));
        assert_same_counts(h, all);
        assert_int_equal(h->bin[SQZ_HIST_BINS / 2 - 1], 1); /* the tiny negative one */
        free(h);
        free(all);
    }
}

static void test_zeros_first_do_not_cost_resolution(void **state)
{
    (void)state;
    const float x[] = {0.0f, 0.0f, 0.01f};
    sqz_hist *h = seen(x, SQZ_COUNT(x), 1);
    assert_true(h->reach == 0.015625f);
    free(h);
}

static void test_share_outside_is_that_of_the_numbers(void **state)
{
    (void)state;
    sqz_rng r = {.seed = 6};
    float *x = malloc(N * sizeof *x);
    for (size_t i = 0; i < N; i++)
        x[i] = (float)sqz_rng_normal(&r);
    sqz_hist *h = seen(x, N, 100);
    const sqz_range ranges[] = {{-1, 1}, {0, 2}, {-9, 0.5f}, {-9, 9}, {h->min, h->max}};
    for (size_t k = 0; k < SQZ_COUNT(ranges); k++) {
        double out = 0;
        for (size_t i = 0; i < N; i++)
            out += x[i] < ranges[k].lo || x[i] > ranges[k].hi;
        /* at most the two bins of the ends are shared out wrongly: about 10 numbers each */
        assert_true(fabs(sqz_hist_outside(h, ranges[k]) - out / N) < 20.0 / N);
    }
    assert_true(sqz_hist_outside(h, ranges[4]) == 0.0);
    free(h);
    free(x);
}

/* A value of many numbers, with its ends where no block is picked: ends are exact, the share of
 * what is counted is that of all within what chance allows, and stretches give the counts of the
 * whole. */
static void test_large_values_are_counted_in_part_and_their_ends_in_full(void **state)
{
    (void)state;
    enum { MANY = 40 * SQZ_HIST_ENOUGH };
    sqz_rng r = {.seed = 8};
    float *x = malloc(MANY * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < MANY; i++)
        x[i] = i % 4 ? (float)sqz_rng_uniform(&r) : 0.0f;
    x[MANY - 1] = 7.0f;
    x[MANY - 2] = -3.0f;
    sqz_hist *h = seen(x, MANY, MANY), *parts = seen(x, 0, 1);
    assert_true(h->min == -3.0f && h->max == 7.0f);
    assert_true(h->count > SQZ_HIST_ENOUGH / 2 && h->count < 2 * SQZ_HIST_ENOUGH);
    assert_true(fabs((double)h->zeros / (double)h->count - 0.25) < 0.01);
    assert_true(fabs(sqz_hist_outside(h, (sqz_range){-4, 0.5f}) - 0.375) < 0.02);

    sqz_hist_bins *bins = calloc(1, sizeof *bins);
    sqz_hist_part all = {.min = INFINITY, .max = -INFINITY}, part[MANY / SQZ_HIST_STRETCH];
    sqz_hist_pick pick = {.every = sqz_hist_every(MANY)};
    for (size_t i = 0; i < SQZ_COUNT(part); i++) {
        pick.first = i * (SQZ_HIST_STRETCH / SQZ_HIST_BLOCK);
        sqz_hist_scan(sqz_scan_f32_scalar, x + i * SQZ_HIST_STRETCH, SQZ_HIST_STRETCH, pick,
                      &part[i]);
        sqz_hist_combine(&all, &part[i]);
    }
    sqz_hist_take(parts, &all);
    for (size_t i = 0; i < SQZ_COUNT(part); i++) {
        pick.first = i * (SQZ_HIST_STRETCH / SQZ_HIST_BLOCK);
        sqz_hist_fill(x + i * SQZ_HIST_STRETCH, SQZ_HIST_STRETCH, &part[i], parts->reach, pick,
                      bins);
    }
    sqz_hist_drain(parts, all.min, all.max, bins);
    assert_same_counts(h, parts);
    free(bins);
    free(parts);
    free(h);
    free(x);
}

static void test_scans_are_the_same_bits_on_every_instruction_set(void **state)
{
    (void)state;
    float *x = numbers(9);
    x[31] = -0.0f;
    static const float odd[] = {1, NAN, INFINITY, -INFINITY, 2e30f, -2e30f};
    for (int isa = 0; isa < SQZ_N_ISA; isa++) {
        sqz_kernels k;
        sqz_kernels_select(&k, (sqz_isa)isa);
        for (size_t n = 0; n < 100; n++)
            for (size_t o = 0; o < SQZ_COUNT(odd); o++) {
                float lo[2], hi[2];
                uint64_t zeros[2];
                const float was = x[n / 2];
                x[n / 2] = odd[o];
                int want = sqz_scan_f32_scalar(x, n, 1e30f, &lo[0], &hi[0], &zeros[0]);
                assert_int_equal(want, n == 0 || o == 0);
                assert_int_equal(k.scan_f32(x, n, 1e30f, &lo[1], &hi[1], &zeros[1]), want);
                if (want) {
                    assert_memory_equal(&lo[0], &lo[1], sizeof lo[0]);
                    assert_memory_equal(&hi[0], &hi[1], sizeof hi[0]);
                    assert_int_equal(zeros[0], zeros[1]);
                }
                x[n / 2] = was;
            }
    }
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bins_are_those_of_the_definition),
        cmocka_unit_test(test_totals_are_exact),
        cmocka_unit_test(test_pieces_and_order_do_not_change_counts),
        cmocka_unit_test(test_merging_is_seeing_one_after_the_other),
        cmocka_unit_test(test_halves_of_seeing_equal_the_whole),
        cmocka_unit_test(test_what_no_grid_holds_is_counted_apart),
        cmocka_unit_test(test_extreme_magnitudes_stay_inside),
        cmocka_unit_test(test_zeros_first_do_not_cost_resolution),
        cmocka_unit_test(test_share_outside_is_that_of_the_numbers),
        cmocka_unit_test(test_large_values_are_counted_in_part_and_their_ends_in_full),
        cmocka_unit_test(test_scans_are_the_same_bits_on_every_instruction_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
