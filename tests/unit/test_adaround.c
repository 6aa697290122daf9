/* Learned rounding: its gradient, what it ends with, what it keeps. */
#include "net.h"
#include "quant/adaround.h"

enum { ROWS = 6, COLS = 10, PATCHES = 64 };

typedef struct problem {
    sqz_ctx *ctx;
    sqz_site site;
    sqz_rounding r;
    sqz_patch_pool pool;
    float w[ROWS * COLS], scale[ROWS * COLS], a[ROWS * COLS], hw[ROWS * COLS];
    float hf[2 * COLS * COLS], x[2 * PATCHES * COLS], z[ROWS * PATCHES], offset[ROWS];
    double h[2 * COLS * COLS];
    int32_t zero[ROWS * COLS];
    int8_t codes[ROWS * COLS];
} problem;

/* Two groups of three rows. */
static problem *make(uint64_t seed)
{
    problem *p = calloc(1, sizeof *p);
    sqz_rng g = {.seed = seed};
    p->ctx = test_ctx();
    p->site = (sqz_site){.clip_lo = 0, .clip_hi = 3, .rows = ROWS, .cols = COLS, .groups = 2};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < PATCHES; i++) {
            float *x = p->x + (k * PATCHES + i) * COLS;
            const double common = sqz_rng_normal(&g);
            for (size_t c = 0; c < COLS; c++)
                x[c] = (float)(sqz_rng_normal(&g) + common);
            for (size_t c = 0; c < COLS; c++)
                for (size_t d = 0; d < COLS; d++)
                    p->h[(k * COLS + c) * COLS + d] += (double)x[c] * (double)x[d] / PATCHES;
        }
    for (size_t i = 0; i < 2 * COLS * COLS; i++)
        p->hf[i] = (float)p->h[i];
    for (size_t i = 0; i < ROWS * COLS; i++) {
        p->w[i] = (float)sqz_rng_normal(&g);
        p->scale[i] = 0.4f;
        p->a[i] = 0.1f * (float)sqz_rng_normal(&g);
        p->codes[i] = (int8_t)SQZ_MAX(SQZ_MIN(nearbyint((double)p->w[i] / 0.4), 7.0), -7.0);
    }
    for (size_t r = 0; r < ROWS; r++) {
        p->offset[r] = 0.3f;
        for (size_t i = 0; i < PATCHES; i++)
            p->z[r * PATCHES + i] = (float)fmin(fmax(sqz_rng_normal(&g) * 3, 0), 3);
        for (size_t c = 0; c < COLS; c++)
            for (size_t d = 0; d < COLS; d++)
                p->hw[r * COLS + c] += p->hf[(r / 3 * COLS + c) * COLS + d] * p->w[r * COLS + d];
    }
    p->pool = (sqz_patch_pool){
        .n = PATCHES, .slice = PATCHES / 2, .x = p->x, .z = p->z, .offset = p->offset};
    p->r = (sqz_rounding){.ctx = p->ctx,
                          .site = &p->site,
                          .rows = ROWS,
                          .cols = COLS,
                          .groups = 2,
                          .lo = -7,
                          .hi = 7,
                          .w = p->w,
                          .scale = p->scale,
                          .zero = p->zero,
                          .h = p->h,
                          .hf = p->hf,
                          .a = p->a,
                          .hw = p->hw,
                          .codes = p->codes};
    return p;
}

static void end(problem *p)
{
    sqz_ctx_free(p->ctx);
    free(p);
}

static double h_of(double v)
{
    const double h = 1.2 / (1 + exp(-v)) - 0.1;
    return h < 0 ? 0 : h > 1 ? 1 : h;
}

/* The loss of a row as adaround.h has it, in double. */
static double loss(const problem *p, size_t row, const double *v, const float *base, int beta,
                   double lambda, bool data, size_t at)
{
    const double *h = p->h + row / 3 * COLS * COLS;
    double d[COLS], w[COLS], e = 0, bound = 0, whole = 0;
    for (size_t i = 0; i < COLS; i++) {
        const double s = (double)p->scale[row * COLS + i];
        w[i] = s * ((double)base[row * COLS + i] + h_of(v[i]));
        d[i] = w[i] - (double)p->w[row * COLS + i];
        bound += h[i * (COLS + 1)] * s * s / 12;
        whole += beta ? 1 - pow(fabs(2 * h_of(v[i]) - 1), beta) : 0;
    }
    for (size_t i = 0; i < COLS && !data; i++) {
        e += 2 * d[i] * (double)p->a[row * COLS + i];
        for (size_t j = 0; j < COLS; j++)
            e += d[i] * h[i * COLS + j] * d[j];
    }
    for (size_t n = at; n < at + PATCHES / 2 && data; n++) {
        double y = (double)p->offset[row];
        for (size_t i = 0; i < COLS; i++)
            y += w[i] * (double)p->x[(row / 3 * PATCHES + n) * COLS + i];
        y = fmin(fmax(y, 0), 3) - (double)p->z[row * PATCHES + n];
        e += y * y / (PATCHES / 2);
    }
    return COLS / bound * e + lambda * whole;
}

static void check_gradient(uint64_t seed, int beta, bool data, size_t at)
{
    problem *p = make(seed);
    sqz_rng g = {.seed = seed + 1000};
    float base[ROWS * COLS], v[ROWS * COLS], grad[ROWS * COLS], room[4][ROWS * COLS];
    float e[ROWS * PATCHES];
    sqz_adaround_begin(&p->r, base, v);
    for (size_t i = 0; i < ROWS * COLS; i++)
        v[i] = (float)sqz_rng_normal(&g);
    const sqz_adaround_room m = {room[0], room[1], room[2], room[3], e};
    const sqz_adaround_at job = {.r = &p->r,
                                 .pool = data ? &p->pool : NULL,
                                 .base = base,
                                 .lambda = 0.7f,
                                 .beta = beta,
                                 .at = at};
    sqz_adaround_gradient(&job, 0, ROWS, v, &m, grad);
    for (size_t row = 0; row < ROWS; row++)
        for (size_t i = 0; i < COLS; i++) {
            double u[COLS];
            const double step = 1e-5;
            for (size_t c = 0; c < COLS; c++)
                u[c] = (double)v[row * COLS + c];
            u[i] += step;
            const double up = loss(p, row, u, base, beta, 0.7, data, at);
            u[i] -= 2 * step;
            const double down = loss(p, row, u, base, beta, 0.7, data, at);
            const double want = (up - down) / (2 * step);
            TEST_NEAR(grad[row * COLS + i], want, 2e-3 * (1 + fabs(want)));
        }
    end(p);
}

static void test_the_gradient_is_that_of_the_loss(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++)
        for (int beta = 0; beta <= 6; beta += 2) {
            check_gradient(seed, beta, false, 0);
            check_gradient(seed, beta, true, 0);
            check_gradient(seed, beta, true, PATCHES / 2);
        }
}

/* V begins between the neighbors of the weight, and the codes at hand are one of the two. */
static void test_it_begins_around_the_weights_and_codes(void **state)
{
    (void)state;
    problem *p = make(9);
    float base[ROWS * COLS], v[ROWS * COLS];
    p->codes[3] = 7;
    p->codes[5] = -7;
    p->w[7] = 100; /* beyond the codes */
    p->codes[7] = 7;
    sqz_adaround_begin(&p->r, base, v);
    for (size_t i = 0; i < ROWS * COLS; i++) {
        assert_true(base[i] >= -7 && base[i] + 1 <= 7);
        assert_true((float)p->codes[i] == base[i] || (float)p->codes[i] == base[i] + 1);
        assert_true(isfinite(v[i]));
    }
    end(p);
}

static double cost(const problem *p, const int8_t *q)
{
    double c[ROWS], sum = 0;
    TEST_OK(p->ctx, sqz_rounding_cost(&p->r, q, c));
    for (size_t i = 0; i < ROWS; i++)
        sum += c[i];
    return sum;
}

static void test_learned_codes_beat_the_nearest(void **state)
{
    (void)state;
    const sqz_adaround_options o = {.iterations = 800, .rate = 0.02, .lambda = 0.5, .warmup = 0.2};
    for (uint64_t seed = 20; seed < 26; seed++) {
        problem *p = make(seed);
        const double nearest = cost(p, p->codes);
        TEST_OK(p->ctx, sqz_adaround(&p->r, NULL, &o));
        for (size_t i = 0; i < ROWS * COLS; i++)
            assert_in_range(p->codes[i] + 7, 0, 14);
        assert_true(cost(p, p->codes) < nearest);
        end(p);
    }
}

static void test_learning_on_patches_lowers_their_error(void **state)
{
    (void)state;
    const sqz_adaround_options o = {
        .iterations = 600, .rate = 0.02, .lambda = 0.2, .warmup = 0.2, .data = 1};
    double sum_before = 0, sum_after = 0;
    for (uint64_t seed = 40; seed < 46; seed++) {
        problem *p = make(seed);
        double before[ROWS], after[ROWS];
        TEST_OK(p->ctx, sqz_patch_pool_cost(&p->r, &p->pool, p->codes, before));
        TEST_OK(p->ctx, sqz_adaround(&p->r, &p->pool, &o));
        TEST_OK(p->ctx, sqz_patch_pool_cost(&p->r, &p->pool, p->codes, after));
        for (size_t i = 0; i < ROWS; i++) {
            sum_before += before[i];
            sum_after += after[i];
        }
        end(p);
    }
    assert_true(sum_after < sum_before);
}

/* ---- in a recipe ---- */

static net make_net(uint64_t seed)
{
    net n = net_begin(seed);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 8, 8}});
    sqz_vid a = net_unary(&n, "relu", "r1", "", net_conv(&n, "c1", x, 8, 3));
    sqz_vid w[3] = {a, net_const(&n, "dw.w", (sqz_shape){4, {8, 1, 3, 3}}, 0.4),
                    net_const(&n, "dw.b", (sqz_shape){1, {8}}, 0.1)};
    sqz_vid d = net_unary(&n, "clip", "r2", "min=0 max=2",
                          net_node(&n, "dwconv2d", "dw", "pads=1,1,1,1", 3, w));
    sqz_vid p = net_unary(&n, "global_average_pool", "pool", "", net_conv(&n, "c2", d, 10, 1));
    net_finish(&n, 1, &p);
    return n;
}

static double snr_of(const char *recipe, uint64_t *sum)
{
    net n = make_net(11);
    return net_snr_after(&n, recipe, 40, 24, sum);
}

static void test_a_recipe_with_it_is_near_the_float_network_and_repeatable(void **state)
{
    (void)state;
    uint64_t a, b, c;
    const double nearest = snr_of("calib(method=minmax),ptq(weights=4 edges=0)", &c);
    const double one = snr_of(
        "calib(method=minmax),ptq(weights=4 edges=0),adaround(iterations=200)", &a);
    const double two = snr_of(
        "calib(method=minmax),ptq(weights=4 edges=0),adaround(iterations=200)", &b);
    assert_true(one > nearest + 2);
    assert_true(one == two);
    assert_true(a == b);
    assert_true(snr_of("calib(method=minmax),ptq(weights=4 edges=0),adaround(iterations=300 "
                       "start=nearest data=0)",
                       &c) > nearest + 1);
    net n = make_net(3);
    TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "adaround", NULL), SQZ_E_ARG, "put 'ptq' before it");
    net_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_gradient_is_that_of_the_loss),
        cmocka_unit_test(test_it_begins_around_the_weights_and_codes),
        cmocka_unit_test(test_learned_codes_beat_the_nearest),
        cmocka_unit_test(test_learning_on_patches_lowers_their_error),
        cmocka_unit_test(test_a_recipe_with_it_is_near_the_float_network_and_repeatable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
