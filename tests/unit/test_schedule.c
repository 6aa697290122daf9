/* Learning rate schedules: what every entry of the table does, and numbers from PyTorch. */
#include "sqz_test.h"
#include "train/schedule.h"

static double rate_of(sqz_ctx *ctx, const char *spec, double peak, double epoch, double epochs)
{
    sqz_arena a = {.ctx = ctx};
    const sqz_schedule *s;
    const void *opts;
    TEST_OK(ctx, sqz_schedule_spec(&a, spec, &s, &opts));
    const double rate = s->rate(opts, peak, epoch, epochs);
    sqz_arena_free(&a);
    return rate;
}

/* "name(options)" of entry k. */
static const char *with(char text[64], size_t k, const char *options)
{
    snprintf(text, 64, "%s(%s)", sqz_schedules[k]->info.name, options);
    return text;
}

static void test_each_stays_between_zero_and_the_peak(void **state)
{
    (void)state;
    const char *const options[] = {"", "warmup=2", "warmup=5,from=0", "warmup=10", "warmup=50"};
    sqz_ctx *ctx = test_ctx();
    for (size_t k = 0; k < sqz_n_schedules; k++)
        for (size_t o = 0; o < SQZ_COUNT(options); o++) {
            char text[64];
            for (int i = 0; i <= 130; i++) { /* 3 epochs more than all */
                const double r = rate_of(ctx, with(text, k, options[o]), 0.3, i * 0.1, 10);
                if (!(r >= 0 && r <= 0.3 * (1 + 1e-15)))
                    fail_msg("%s: rate %g at epoch %g", text, r, i * 0.1);
            }
        }
    sqz_ctx_free(ctx);
}

static void test_each_rises_through_the_warmup_and_not_after_it(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    for (size_t k = 0; k < sqz_n_schedules; k++) {
        char text[64];
        with(text, k, "warmup=3,from=0.2");
        TEST_NEAR(rate_of(ctx, text, 0.5, 0, 12), 0.1, 1e-15);
        TEST_NEAR(rate_of(ctx, text, 0.5, 3, 12), 0.5, 1e-15);
        for (int i = 0; i < 120; i++) {
            const double now = rate_of(ctx, text, 0.5, i * 0.1, 12);
            const double next = rate_of(ctx, text, 0.5, (i + 1) * 0.1, 12);
            if (i < 29 ? next <= now : i > 30 && next > now)
                fail_msg("%s: %g at epoch %g, %g after it", text, now, i * 0.1, next);
        }
    }
    sqz_ctx_free(ctx);
}

/* Near the peak, 3e-2 and 3 give the same curve. */
static void test_each_is_in_proportion_to_the_peak(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    for (size_t k = 0; k < sqz_n_schedules; k++)
        for (int i = 0; i < 20; i++) {
            char text[64];
            with(text, k, "warmup=1");
            TEST_NEAR(rate_of(ctx, text, 3e-2, i * 0.25, 5),
                      1e-2 * rate_of(ctx, text, 3, i * 0.25, 5), 1e-16);
        }
    sqz_ctx_free(ctx);
}

static void test_warmup_is_a_straight_line(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    const char *const names[] = {"constant", "cosine", "step"};
    for (size_t k = 0; k < SQZ_COUNT(names); k++)
        for (int i = 0; i <= 8; i++) {
            char text[64];
            snprintf(text, sizeof text, "%s(warmup=2,from=0.1)", names[k]);
            TEST_NEAR(rate_of(ctx, text, 1, i * 0.25, 9), 0.1 + 0.9 * i / 8, 1e-15);
        }
    sqz_ctx_free(ctx);
}

/* torch.optim.lr_scheduler of PyTorch 2.13, one step an epoch, peak 1:
 * CosineAnnealingLR(10, eta_min=0.1), OneCycleLR(total_steps=11, pct_start=0.4) whose rise ends at
 * step 0.4 * 11 - 1, MultiStepLR([3, 7], 0.2), StepLR(4, 0.5). */
static const struct {
    const char *spec;
    double rate[11];
    int n;
} torch[] = {
    {"cosine(end=0.1)",
     {1.0, 0.9779754323328191, 0.9140576474687263, 0.8145033635316129, 0.6890576474687263, 0.55,
      0.41094235253127376, 0.2854966364683872, 0.18594235253127372, 0.12202456766718092},
     10},
    {"onecycle(rise=0.34)",
     {0.040000000000000036, 0.2307353745379569, 0.6513582352345996, 0.9675866701140907,
      0.9797465678213015, 0.8618675715844589, 0.6635353275227843, 0.428844865493034,
      0.20997470532822013, 0.055586053343435624, 4e-06},
     11},
    {"onecycle(warmup=3.4)",
     {0.040000000000000036, 0.2307353745379569, 0.6513582352345996, 0.9675866701140907},
     4},
    {"step(at=3,7 factor=0.2)", {1, 1, 1, 0.2, 0.2, 0.2, 0.2, 0.04, 0.04, 0.04}, 10},
    {"step(every=4,factor=0.5)", {1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25}, 10},
    {"constant", {1, 1, 1}, 3},
};

static void test_rates_equal_those_of_torch(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    for (size_t k = 0; k < SQZ_COUNT(torch); k++)
        for (int i = 0; i < torch[k].n; i++)
            TEST_NEAR(rate_of(ctx, torch[k].spec, 1, i, 10), torch[k].rate[i], 1e-14);
    sqz_ctx_free(ctx);
}

static void test_step_drops_at_one_half_and_three_quarters_unless_told(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    TEST_NEAR(rate_of(ctx, "step", 1, 9.99, 20), 1, 1e-15);
    TEST_NEAR(rate_of(ctx, "step", 1, 10, 20), 0.1, 1e-15);
    TEST_NEAR(rate_of(ctx, "step", 1, 15, 20), 0.01, 1e-15);
    sqz_ctx_free(ctx);
}

static void test_cosine_ends_at_its_end(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    TEST_NEAR(rate_of(ctx, "cosine", 1, 8, 8), 0, 1e-15);
    TEST_NEAR(rate_of(ctx, "cosine(end=0.25)", 1, 8, 8), 0.25, 1e-15);
    TEST_NEAR(rate_of(ctx, "cosine(warmup=2)", 1, 5, 8), 0.5, 1e-15); /* half of the 6 after it */
    sqz_ctx_free(ctx);
}

static void test_text_that_is_no_schedule_is_refused(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_arena a = {.ctx = ctx};
    const sqz_schedule *s;
    const void *opts;
    TEST_FAILS(ctx, sqz_schedule_spec(&a, "cosin", &s, &opts), SQZ_E_ARG, "did you mean 'cosine'");
    TEST_FAILS(ctx, sqz_schedule_spec(&a, "cosine,step", &s, &opts), SQZ_E_ARG, "2 schedules");
    TEST_FAILS(ctx, sqz_schedule_spec(&a, "step(warmup=-1)", &s, &opts), SQZ_E_ARG, "warmup");
    TEST_FAILS(ctx, sqz_schedule_spec(&a, "step(factor=2)", &s, &opts), SQZ_E_ARG, "factor");
    TEST_FAILS(ctx, sqz_schedule_spec(&a, "constant(end=0)", &s, &opts), SQZ_E_ARG, "end");
    sqz_arena_free(&a);
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_stays_between_zero_and_the_peak),
        cmocka_unit_test(test_each_rises_through_the_warmup_and_not_after_it),
        cmocka_unit_test(test_each_is_in_proportion_to_the_peak),
        cmocka_unit_test(test_warmup_is_a_straight_line),
        cmocka_unit_test(test_rates_equal_those_of_torch),
        cmocka_unit_test(test_step_drops_at_one_half_and_three_quarters_unless_told),
        cmocka_unit_test(test_cosine_ends_at_its_end),
        cmocka_unit_test(test_text_that_is_no_schedule_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
