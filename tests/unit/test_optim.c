/* Optimizers: what every entry of the table does, each against its formula in double, and against
 * numbers from torch.optim. */
#include "sqz_test.h"
#include "train/optim.h"

enum { STEPS = 20, LARGE = 3 * 16384 + 7 };

/* An optimizer at work on n numbers. */
typedef struct training {
    sqz_arena arena;
    const sqz_optim *o;
    const void *opts;
    float *w, *g;
    sqz_optim_step step;
} training;

static void begin(training *t, sqz_ctx *ctx, const char *spec, size_t n)
{
    *t = (training){.arena = {.ctx = ctx}};
    TEST_OK(ctx, sqz_optim_spec(&t->arena, spec, &t->o, &t->opts));
    t->w = calloc(n, sizeof *t->w);
    t->g = calloc(n, sizeof *t->g);
    t->step = (sqz_optim_step){.w = t->w,
                               .g = t->g,
                               .state = calloc(n * t->o->n_state, sizeof(float)),
                               .n = n,
                               .rate = t->o->rate,
                               .scale = 1,
                               .floor = -INFINITY};
    assert_true(t->w && t->g && t->step.state);
}

static void end(training *t)
{
    free(t->w);
    free(t->g);
    free(t->step.state);
    sqz_arena_free(&t->arena);
}

static void advance(training *t)
{
    t->step.t++;
    TEST_OK(t->arena.ctx, t->o->update(t->arena.ctx, t->opts, &t->step));
}

static void draw(float *x, size_t n, uint64_t seed)
{
    sqz_rng r = {.seed = seed};
    for (size_t i = 0; i < n; i++)
        x[i] = (float)sqz_rng_normal(&r);
}

/* Gradients of step t: a function of the step alone. */
static void draw_step(training *t) { draw(t->g, t->step.n, 1000 + t->step.t); }

/* ---- every entry of the table ---- */

/* sum of a_i (w_i - c_i)^2 / 2 */
static double quadratic(const training *t, const float *a, const float *c, float *slope)
{
    double sum = 0;
    for (size_t i = 0; i < t->step.n; i++) {
        const float d = t->w[i] - c[i];
        slope[i] = a[i] * d;
        sum += 0.5 * (double)a[i] * (double)d * (double)d;
    }
    return sum;
}

static void test_each_descends_a_quadratic_at_its_usual_rate(void **state)
{
    (void)state;
    enum { N = 37 };
    sqz_ctx *ctx = test_ctx();
    for (size_t k = 0; k < sqz_n_optims; k++) {
        training t;
        float a[N], c[N];
        begin(&t, ctx, sqz_optims[k]->info.name, N);
        draw(t.w, N, 1);
        draw(c, N, 2);
        for (size_t i = 0; i < N; i++)
            a[i] = 0.1f + 0.9f * (float)i / N;
        const double first = quadratic(&t, a, c, t.g);
        for (int i = 0; i < 6000; i++) {
            advance(&t);
            quadratic(&t, a, c, t.g);
        }
        const double last = quadratic(&t, a, c, t.g);
        if (!(last < 1e-3 * first))
            fail_msg("%s: from %g to %g", sqz_optims[k]->info.name, first, last);
        end(&t);
    }
    sqz_ctx_free(ctx);
}

static sqz_ctx *ctx_of(int32_t threads)
{
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    sqz_ctx *ctx;
    o.threads = threads;
    assert_int_equal(sqz_ctx_create(&o, &ctx), SQZ_OK);
    assert_int_equal(sqz_pool_threads(ctx->pool), threads);
    return ctx;
}

static void test_each_gives_the_same_bytes_for_any_number_of_threads(void **state)
{
    (void)state;
    for (size_t k = 0; k < sqz_n_optims; k++) {
        training of[3];
        sqz_ctx *ctx[3];
        for (int i = 0; i < 3; i++) {
            ctx[i] = ctx_of(i + 1);
            begin(&of[i], ctx[i], sqz_optims[k]->info.name, LARGE);
            draw(of[i].w, LARGE, 3);
            of[i].step.decay = 0.01;
            for (int s = 0; s < 4; s++) {
                draw_step(&of[i]);
                advance(&of[i]);
            }
            assert_memory_equal(of[0].w, of[i].w, LARGE * sizeof(float));
            assert_memory_equal(of[0].step.state, of[i].step.state,
                                LARGE * of[0].o->n_state * sizeof(float));
        }
        for (int i = 0; i < 3; i++) {
            end(&of[i]);
            sqz_ctx_free(ctx[i]);
        }
    }
}

/* Weights, state and t are all there is to save. */
static void test_each_goes_on_from_saved_state_to_the_bit(void **state)
{
    (void)state;
    enum { N = 1001 };
    sqz_ctx *ctx = test_ctx();
    for (size_t k = 0; k < sqz_n_optims; k++)
        for (uint64_t cut = 1; cut < STEPS; cut += 6) {
            training whole, resumed;
            begin(&whole, ctx, sqz_optims[k]->info.name, N);
            begin(&resumed, ctx, sqz_optims[k]->info.name, N);
            draw(whole.w, N, 4);
            while (whole.step.t < STEPS) {
                if (whole.step.t == cut) {
                    memcpy(resumed.w, whole.w, N * sizeof(float));
                    memcpy(resumed.step.state, whole.step.state,
                           N * whole.o->n_state * sizeof(float));
                    resumed.step.t = cut;
                }
                draw_step(&whole);
                advance(&whole);
            }
            while (resumed.step.t < STEPS) {
                draw_step(&resumed);
                advance(&resumed);
            }
            assert_memory_equal(whole.w, resumed.w, N * sizeof(float));
            end(&whole);
            end(&resumed);
        }
    sqz_ctx_free(ctx);
}

static void test_each_holds_weights_at_their_floor(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    for (size_t k = 0; k < sqz_n_optims; k++) {
        training t;
        begin(&t, ctx, sqz_optims[k]->info.name, 2);
        t.w[0] = t.w[1] = t.step.floor = 0.125f;
        t.g[0] = 1;  /* downwards: into the floor */
        t.g[1] = -1; /* upwards: free */
        advance(&t);
        assert_true(t.w[0] == 0.125f);
        assert_true(t.w[1] > 0.125f);
        end(&t);
    }
    sqz_ctx_free(ctx);
}

static void test_each_lets_what_is_no_number_be_seen(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    for (size_t k = 0; k < sqz_n_optims; k++) {
        training t;
        begin(&t, ctx, sqz_optims[k]->info.name, 3);
        t.w[0] = t.w[1] = t.w[2] = 1;
        t.g[1] = NAN;
        t.step.floor = 0.5f;
        advance(&t);
        assert_true(isnan(t.w[1]));
        end(&t);
    }
    sqz_ctx_free(ctx);
}

static void test_each_leaves_weights_without_gradient_and_decay(void **state)
{
    (void)state;
    enum { N = 100 };
    sqz_ctx *ctx = test_ctx();
    for (size_t k = 0; k < sqz_n_optims; k++) {
        training t;
        float before[N];
        begin(&t, ctx, sqz_optims[k]->info.name, N);
        draw(t.w, N, 5);
        memcpy(before, t.w, sizeof before);
        for (int s = 0; s < 3; s++)
            advance(&t);
        assert_memory_equal(before, t.w, sizeof before);
        t.step.decay = 0.1;
        advance(&t);
        for (size_t i = 0; i < N; i++)
            assert_true(fabsf(t.w[i]) < fabsf(before[i]));
        end(&t);
    }
    sqz_ctx_free(ctx);
}

static void test_each_takes_a_tensor_of_no_numbers(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    for (size_t k = 0; k < sqz_n_optims; k++) {
        sqz_arena a = {.ctx = ctx};
        const sqz_optim *o;
        const void *opts;
        TEST_OK(ctx, sqz_optim_spec(&a, sqz_optims[k]->info.name, &o, &opts));
        TEST_OK(ctx, o->update(ctx, opts, &(sqz_optim_step){.t = 1, .rate = 1, .scale = 1}));
        sqz_arena_free(&a);
    }
    sqz_ctx_free(ctx);
}

/* ---- formulas ---- */

/* One step of all n numbers in double; state: two blocks of n. */
typedef void (*formula)(const sqz_optim_step *s, double *w, double *state);

static void sgd(const sqz_optim_step *s, double *w, double *state)
{
    for (size_t i = 0; i < s->n; i++) {
        state[i] = 0.9 * state[i] + s->scale * (double)s->g[i] + s->decay * w[i];
        w[i] -= s->rate * state[i];
    }
}

static void sgd_plain(const sqz_optim_step *s, double *w, double *state)
{
    (void)state;
    for (size_t i = 0; i < s->n; i++)
        w[i] -= s->rate * (s->scale * (double)s->g[i] + s->decay * w[i]);
}

static void sgd_nesterov(const sqz_optim_step *s, double *w, double *state)
{
    for (size_t i = 0; i < s->n; i++) {
        const double g = s->scale * (double)s->g[i] + s->decay * w[i];
        state[i] = 0.8 * state[i] + g;
        w[i] -= s->rate * (g + 0.8 * state[i]);
    }
}

/* The direction of Kingma & Ba's algorithm 1 for number i and gradient g. */
static double adam_of(const sqz_optim_step *s, double *state, size_t i, double g, double eps)
{
    double *m = state + i, *v = state + s->n + i;
    *m = 0.9 * *m + 0.1 * g;
    *v = 0.999 * *v + 0.001 * g * g;
    const double mean = *m / (1 - pow(0.9, (double)s->t));
    const double square = *v / (1 - pow(0.999, (double)s->t));
    return mean / (sqrt(square) + eps);
}

static void adam(const sqz_optim_step *s, double *w, double *state)
{
    for (size_t i = 0; i < s->n; i++)
        w[i] -= s->rate * adam_of(s, state, i, s->scale * (double)s->g[i] + s->decay * w[i], 1e-8);
}

static void adamw(const sqz_optim_step *s, double *w, double *state)
{
    for (size_t i = 0; i < s->n; i++) {
        w[i] -= s->rate * s->decay * w[i];
        w[i] -= s->rate * adam_of(s, state, i, s->scale * (double)s->g[i], 1e-8);
    }
}

static void lamb(const sqz_optim_step *s, double *w, double *state)
{
    double *u = malloc(s->n * sizeof *u), w2 = 0, u2 = 0;
    assert_non_null(u);
    for (size_t i = 0; i < s->n; i++) {
        u[i] = adam_of(s, state, i, s->scale * (double)s->g[i], 1e-6) + s->decay * w[i];
        w2 += w[i] * w[i];
        u2 += u[i] * u[i];
    }
    for (size_t i = 0; i < s->n; i++)
        w[i] -= s->rate * sqrt(w2) / sqrt(u2) * u[i];
    free(u);
}

static const struct {
    const char *spec;
    formula step;
} formulas[] = {
    {"sgd", sgd},
    {"sgd(momentum=0)", sgd_plain},
    {"sgd(momentum=0.8,nesterov=1)", sgd_nesterov},
    {"adam", adam},
    {"adamw", adamw},
    {"lamb", lamb},
};

static void test_every_optimizer_has_a_formula(void **state)
{
    (void)state;
    assert_true(sqz_n_optims >= 4);
    for (size_t k = 0; k < sqz_n_optims; k++) {
        bool known = false;
        for (size_t i = 0; i < SQZ_COUNT(formulas); i++)
            known = known || strcmp(formulas[i].spec, sqz_optims[k]->info.name) == 0;
        if (!known)
            fail_msg("add a formula of '%s'", sqz_optims[k]->info.name);
    }
}

/* Twenty steps of rate 0.01. Storing w, up to 5, rounds it by 2.4e-7 at most, which makes 5e-6;
 * what else is rounded counts a hundredth of that. Tolerance twice as much, a thousandth of a step.
 */
static void test_twenty_steps_equal_the_formula(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 7, 16384, 16385, LARGE};
    sqz_ctx *ctx = test_ctx();
    for (size_t f = 0; f < SQZ_COUNT(formulas); f++)
        for (size_t k = 0; k < SQZ_COUNT(sizes); k++) {
            training t;
            const size_t n = sizes[k];
            begin(&t, ctx, formulas[f].spec, n);
            double *w = malloc(n * sizeof *w), *kept = calloc(2 * n, sizeof *kept);
            assert_true(w && kept);
            draw(t.w, n, 6);
            for (size_t i = 0; i < n; i++)
                w[i] = (double)t.w[i];
            t.step.decay = 0.05;
            t.step.scale = 0.75;
            for (int s = 0; s < STEPS; s++) {
                t.step.rate = 0.01 * (1 - 0.02 * s); /* as schedules do */
                draw_step(&t);
                advance(&t);
                formulas[f].step(&t.step, w, kept);
            }
            for (size_t i = 0; i < n; i++)
                if (!(fabs((double)t.w[i] - w[i]) <= 1e-5))
                    fail_msg("%s: number %zu of %zu is %.9g, expected %.9g", formulas[f].spec, i, n,
                             (double)t.w[i], w[i]);
            free(w);
            free(kept);
            end(&t);
        }
    sqz_ctx_free(ctx);
}

/* After twenty steps from {0.5, -1.25, 0, 2} with gradients (i+1)/4 cos(1 + i + 0.7 t), t from 1,
 * torch.optim of PyTorch 2.13 in float64 has these numbers. */
static const struct {
    const char *spec;
    double rate, decay, w[4];
} torch[] = {
    {"sgd(momentum=0)",
     0.05,
     0,
     {0.5113983673006853, -1.2022342670320834, 0.04322870509008485, 1.9667527181704783}},
    {"sgd(momentum=0)",
     0.05,
     0.1,
     {0.4621733636803606, -1.0853185738372342, 0.04405697675173834, 1.7818094705466083}},
    {"sgd(momentum=0.9)",
     0.05,
     0.1,
     {0.323937631111134, -0.4721607879489486, -0.03503354259078924, 0.6524888886512608}},
    {"sgd(momentum=0.9,nesterov=1)",
     0.05,
     0.1,
     {0.3067511183728356, -0.4345299220234569, 0.01848230144864051, 0.6627048648607812}},
    {"adam",
     0.01,
     0.1,
     {0.4863450177808656, -1.1609513052798495, 0.008848327409348381, 1.9072700323470502}},
    {"adam(beta1=0.8,beta2=0.95,eps=1e-3)",
     0.01,
     0,
     {0.5411052088948707, -1.2185449597408997, 0.009942315491315221, 1.978318647796627}},
    {"adamw",
     0.01,
     0.1,
     {0.54288113519361, -1.1850207310032042, 0.009022889210776965, 1.9284925726643034}},
};

static void test_steps_equal_those_of_torch(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    for (size_t k = 0; k < SQZ_COUNT(torch); k++) {
        training t;
        begin(&t, ctx, torch[k].spec, 4);
        memcpy(t.w, (float[]){0.5f, -1.25f, 0.0f, 2.0f}, 4 * sizeof(float));
        t.step.rate = torch[k].rate;
        t.step.decay = torch[k].decay;
        for (int s = 1; s <= STEPS; s++) {
            for (int i = 0; i < 4; i++)
                t.g[i] = (float)(0.25 * (i + 1) * cos(1 + i + 0.7 * s));
            advance(&t);
        }
        for (int i = 0; i < 4; i++)
            TEST_NEAR((double)t.w[i], torch[k].w[i], 3e-6);
        end(&t);
    }
    sqz_ctx_free(ctx);
}

/* You et al. 2020: without decay, a step is `rate` of the size of the tensor; zeros move by `rate`
 * itself. */
static void test_lamb_moves_by_a_share_of_the_size(void **state)
{
    (void)state;
    enum { N = 50000 };
    sqz_ctx *ctx = test_ctx();
    for (int zero = 0; zero < 2; zero++) {
        training t;
        double moved = 0, size = 0;
        begin(&t, ctx, "lamb", N);
        float *before = calloc(N, sizeof *before);
        assert_non_null(before);
        if (!zero)
            draw(before, N, 7);
        memcpy(t.w, before, N * sizeof(float));
        draw_step(&t);
        advance(&t);
        for (size_t i = 0; i < N; i++) {
            const double d = (double)t.w[i] - (double)before[i];
            moved += d * d;
            size += (double)before[i] * (double)before[i];
        }
        const double want = zero ? t.step.rate * sqrt(N) : t.step.rate * sqrt(size);
        TEST_NEAR(sqrt(moved), want, 1e-4 * want);
        free(before);
        end(&t);
    }
    sqz_ctx_free(ctx);
}

static void test_text_that_is_no_optimizer_is_refused(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_arena a = {.ctx = ctx};
    const sqz_optim *o;
    const void *opts;
    TEST_FAILS(ctx, sqz_optim_spec(&a, "adamx", &o, &opts), SQZ_E_ARG, "did you mean 'adam");
    TEST_FAILS(ctx, sqz_optim_spec(&a, "sgd,adam", &o, &opts), SQZ_E_ARG, "2 optimizers");
    TEST_FAILS(ctx, sqz_optim_spec(&a, "", &o, &opts), SQZ_E_ARG, "0 optimizers");
    TEST_FAILS(ctx, sqz_optim_spec(&a, "sgd(momentum=1)", &o, &opts), SQZ_E_ARG, "momentum");
    TEST_FAILS(ctx, sqz_optim_spec(&a, "adam(eps=0)", &o, &opts), SQZ_E_ARG, "eps");
    TEST_FAILS(ctx, sqz_optim_spec(&a, "adam(beta=0)", &o, &opts), SQZ_E_ARG, "beta");
    TEST_FAILS(ctx, sqz_optim_spec(&a, "sgd(momentum=0.9", &o, &opts), SQZ_E_ARG, "not closed");
    assert_null(sqz_optim_find("nadam"));
    sqz_arena_free(&a);
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_descends_a_quadratic_at_its_usual_rate),
        cmocka_unit_test(test_each_gives_the_same_bytes_for_any_number_of_threads),
        cmocka_unit_test(test_each_goes_on_from_saved_state_to_the_bit),
        cmocka_unit_test(test_each_holds_weights_at_their_floor),
        cmocka_unit_test(test_each_lets_what_is_no_number_be_seen),
        cmocka_unit_test(test_each_leaves_weights_without_gradient_and_decay),
        cmocka_unit_test(test_each_takes_a_tensor_of_no_numbers),
        cmocka_unit_test(test_every_optimizer_has_a_formula),
        cmocka_unit_test(test_twenty_steps_equal_the_formula),
        cmocka_unit_test(test_steps_equal_those_of_torch),
        cmocka_unit_test(test_lamb_moves_by_a_share_of_the_size),
        cmocka_unit_test(test_text_that_is_no_optimizer_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
