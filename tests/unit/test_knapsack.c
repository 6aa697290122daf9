/* The multiple-choice knapsack against all choices tried one after the other. */
#include "search/knapsack.h"
#include "sqz_test.h"

enum { GROUPS = 7, CHOICES = 4 };

typedef struct problem {
    uint32_t first[GROUPS + 1];
    sqz_choice choice[GROUPS * CHOICES];
    sqz_knapsack k;
} problem;

/* More bits: less loss, more cost; mostly. */
static problem draw(uint64_t seed, unsigned costs)
{
    sqz_rng r = {.seed = seed};
    problem p = {.k = {.n_group = GROUPS, .limit = {INFINITY, INFINITY, INFINITY}}};
    double total[SQZ_KNAPSACK_COSTS] = {0};
    for (uint32_t i = 0; i < GROUPS; i++) {
        p.first[i] = i * CHOICES;
        double size = 1 + 99 * sqz_rng_uniform(&r), hurt = sqz_rng_uniform(&r);
        for (uint32_t c = 0; c < CHOICES; c++) {
            sqz_choice *x = &p.choice[i * CHOICES + c];
            x->loss = hurt * exp2(-2.0 * c) * (0.5 + sqz_rng_uniform(&r));
            for (unsigned d = 0; d < costs; d++) {
                x->cost[d] = floor(size * (c + 1) * (0.7 + 0.6 * sqz_rng_uniform(&r)));
                total[d] += x->cost[d] / CHOICES;
            }
        }
    }
    p.first[GROUPS] = GROUPS * CHOICES;
    for (unsigned d = 0; d < costs; d++)
        p.k.limit[d] = total[d] * (0.5 + 0.8 * sqz_rng_uniform(&r));
    return p;
}

static double brute(const problem *p)
{
    double best = INFINITY;
    for (uint32_t code = 0; code < 1u << (2 * GROUPS); code++) {
        double loss = 0, cost[SQZ_KNAPSACK_COSTS] = {0};
        for (uint32_t i = 0; i < GROUPS; i++) {
            const sqz_choice *x = &p->choice[i * CHOICES + (code >> (2 * i) & 3)];
            loss += x->loss;
            for (int d = 0; d < SQZ_KNAPSACK_COSTS; d++)
                cost[d] += x->cost[d];
        }
        bool fits = true;
        for (int d = 0; d < SQZ_KNAPSACK_COSTS; d++)
            fits = fits && cost[d] <= p->k.limit[d];
        if (fits && loss < best)
            best = loss;
    }
    return best;
}

static void solve(sqz_arena *a, problem *p)
{
    p->k.first = p->first;
    p->k.choice = p->choice;
    TEST_OK(a->ctx, sqz_knapsack_solve(a, &p->k));
}

static void test_the_optimum_is_found_and_proven(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    for (uint64_t seed = 1; seed <= 60; seed++) {
        sqz_arena a = {.ctx = ctx};
        problem p = draw(seed, 1 + (unsigned)(seed % 3));
        double best = brute(&p);
        solve(&a, &p);
        assert_int_equal(p.k.feasible, isfinite(best));
        if (p.k.feasible) {
            TEST_NEAR(p.k.loss, best, 1e-12);
            TEST_NEAR(p.k.bound, best, 1e-12);
            for (int d = 0; d < SQZ_KNAPSACK_COSTS; d++)
                assert_true(p.k.cost[d] <= p.k.limit[d]);
        }
        sqz_arena_free(&a);
    }
    sqz_ctx_free(ctx);
}

static void test_without_limits_the_least_losses_win(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_arena a = {.ctx = ctx};
    problem p = draw(5, 1);
    p.k.limit[0] = INFINITY;
    solve(&a, &p);
    for (uint32_t i = 0; i < GROUPS; i++)
        for (uint32_t c = 0; c < CHOICES; c++)
            assert_true(p.choice[p.k.pick[i]].loss <= p.choice[i * CHOICES + c].loss);
    assert_true(p.k.feasible);
    sqz_arena_free(&a);
    sqz_ctx_free(ctx);
}

static void test_limits_that_nothing_keeps_are_said(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_arena a = {.ctx = ctx};
    problem p = draw(6, 1);
    p.k.limit[0] = 3;
    solve(&a, &p);
    assert_false(p.k.feasible);
    for (uint32_t i = 0; i < GROUPS; i++)
        for (uint32_t c = 0; c < CHOICES; c++)
            assert_true(p.choice[p.k.pick[i]].cost[0] <= p.choice[i * CHOICES + c].cost[0]);
    sqz_arena_free(&a);
    sqz_ctx_free(ctx);
}

/* As many layers as large networks have: real costs, each sum different. What comes back is at most
 * a thousandth above the bound, and the same again. */
static void test_large_problems_stay_small(void **state)
{
    (void)state;
    enum { MANY = 160 };
    static sqz_choice choice[MANY * CHOICES];
    static uint32_t first[MANY + 1];
    sqz_ctx *ctx = test_ctx();
    for (unsigned costs = 1; costs <= 3; costs++) {
        sqz_rng r = {.seed = costs};
        double total = 0, loss[2];
        for (uint32_t i = 0; i < MANY; i++) {
            double size = exp(6 * sqz_rng_uniform(&r)), hurt = exp(3 * sqz_rng_normal(&r));
            first[i] = i * CHOICES;
            for (uint32_t c = 0; c < CHOICES; c++) {
                choice[i * CHOICES + c].loss = hurt * exp2(-2.0 * c);
                for (unsigned d = 0; d < costs; d++)
                    choice[i * CHOICES + c].cost[d] = size * (c + 1) *
                                                      (0.9 + 0.2 * sqz_rng_uniform(&r));
            }
            total += size;
        }
        first[MANY] = MANY * CHOICES;
        for (int again = 0; again < 2; again++) {
            sqz_arena a = {.ctx = ctx};
            sqz_knapsack k = {.n_group = MANY, .first = first, .choice = choice};
            for (unsigned d = 0; d < SQZ_KNAPSACK_COSTS; d++)
                k.limit[d] = d < costs ? total * 2.2 : INFINITY;
            TEST_OK(ctx, sqz_knapsack_solve(&a, &k));
            assert_true(k.feasible);
            assert_true(k.bound <= k.loss && k.loss <= k.bound * (costs == 1 ? 1.001 : 1.02));
            loss[again] = k.loss;
            sqz_arena_free(&a);
        }
        assert_true(loss[0] == loss[1]);
    }
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_optimum_is_found_and_proven),
        cmocka_unit_test(test_without_limits_the_least_losses_win),
        cmocka_unit_test(test_limits_that_nothing_keeps_are_said),
        cmocka_unit_test(test_large_problems_stay_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
