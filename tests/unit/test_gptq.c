/* Rounding of weights column by column, search for the nearest point of a lattice, and what the
 * walk over sites does with them. */
#include "net.h"
#include "quant/refine.h"

/* A random problem: H of `n` patches of correlated inputs. */
typedef struct problem {
    sqz_ctx *ctx;
    sqz_rounding r;
    sqz_site site;
    float *w, *scale, *a, *hw, *hf;
    double *h;
    int8_t *codes;
    int32_t *zero;
} problem;

static problem make(uint64_t seed, size_t rows, size_t cols, size_t groups, double asymmetric)
{
    problem p = {.ctx = test_ctx()};
    sqz_rng g = {.seed = seed};
    const size_t n = rows * cols, square = groups * cols * cols;
    p.w = calloc(n, sizeof *p.w);
    p.scale = calloc(n, sizeof *p.scale);
    p.a = calloc(n, sizeof *p.a);
    p.hw = calloc(n, sizeof *p.hw);
    p.codes = calloc(n, 1);
    p.zero = calloc(n, sizeof *p.zero);
    p.h = calloc(square, sizeof *p.h);
    p.hf = calloc(square, sizeof *p.hf);
    double *x = calloc(cols, sizeof *x);
    for (size_t k = 0; k < groups; k++)
        for (size_t i = 0; i < 3 * cols; i++) {
            const double common = sqz_rng_normal(&g);
            for (size_t c = 0; c < cols; c++)
                x[c] = sqz_rng_normal(&g) * (1 + (double)(c % 3)) + common;
            for (size_t c = 0; c < cols; c++)
                for (size_t d = 0; d < cols; d++)
                    p.h[(k * cols + c) * cols + d] += x[c] * x[d] / (3.0 * (double)cols);
        }
    free(x);
    for (size_t i = 0; i < n; i++) {
        p.w[i] = (float)sqz_rng_normal(&g);
        p.scale[i] = 0.35f;
        p.a[i] = (float)(asymmetric * sqz_rng_normal(&g));
    }
    for (size_t i = 0; i < square; i++)
        p.hf[i] = (float)p.h[i];
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            for (size_t d = 0; d < cols; d++)
                p.hw[r * cols + c] += (float)(p.h[(r / (rows / groups) * cols + c) * cols + d] *
                                              (double)p.w[r * cols + d]);
    p.r = (sqz_rounding){.ctx = p.ctx,
                         .rows = rows,
                         .cols = cols,
                         .groups = groups,
                         .lo = -7,
                         .hi = 7,
                         .w = p.w,
                         .scale = p.scale,
                         .zero = p.zero,
                         .h = p.h,
                         .hf = p.hf,
                         .a = p.a,
                         .hw = p.hw,
                         .codes = p.codes};
    return p;
}

static void end(problem *p)
{
    free(p->w);
    free(p->scale);
    free(p->a);
    free(p->hw);
    free(p->hf);
    free(p->h);
    free(p->codes);
    free(p->zero);
    sqz_ctx_free(p->ctx);
}

/* J - J(0) of a row, by its definition. */
static double cost(const problem *p, size_t row, const int8_t *q, const float *scale)
{
    const size_t k = p->r.cols;
    const double *h = p->h + row / (p->r.rows / p->r.groups) * k * k;
    double sum = 0, d[64];
    for (size_t i = 0; i < k; i++)
        d[i] = (double)scale[row * k + i] * q[row * k + i] - (double)p->w[row * k + i];
    for (size_t i = 0; i < k; i++) {
        sum += 2 * d[i] * (double)p->a[row * k + i];
        for (size_t j = 0; j < k; j++)
            sum += d[i] * h[i * k + j] * d[j];
    }
    return sum;
}

static int clamp_round(double v)
{
    v = nearbyint(v);
    return (int)(v < -7 ? -7 : v > 7 ? 7 : v);
}

/* Gauss-Jordan. */
static void invert(size_t n, const double *a, double *out)
{
    double(*m)[128] = calloc(64, sizeof *m);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            m[i][j] = a[i * n + j];
            m[i][n + j] = i == j;
        }
    for (size_t c = 0; c < n; c++) {
        const double p = m[c][c];
        for (size_t j = 0; j < 2 * n; j++)
            m[c][j] /= p;
        for (size_t i = 0; i < n; i++) {
            const double f = m[i][c];
            for (size_t j = 0; j < 2 * n && i != c; j++)
                m[i][j] -= f * m[c][j];
        }
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            out[i * n + j] = m[i][n + j];
    free(m);
}

/* The recursion of OBQ (Frantar and Alistarh 2022): quantize a weight, move the others by the
 * inverse of H of those that are left, take it out of the inverse. */
static void slow_obq(const problem *p, size_t row, const size_t *order, int *out)
{
    const size_t k = p->r.cols;
    const double *h = p->h + row / (p->r.rows / p->r.groups) * k * k;
    double *inv = calloc(k * k, sizeof *inv), w[64];
    invert(k, h, inv);
    for (size_t i = 0; i < k; i++) { /* the minimum of J */
        w[i] = (double)p->w[row * k + i];
        for (size_t j = 0; j < k; j++)
            w[i] -= inv[i * k + j] * (double)p->a[row * k + j];
    }
    for (size_t t = 0; t < k; t++) {
        const size_t c = order[t];
        const double s = (double)p->scale[row * k + c];
        out[c] = clamp_round(w[c] / s);
        const double e = (w[c] - s * out[c]) / inv[c * k + c];
        for (size_t j = 0; j < k; j++)
            w[j] -= e * inv[c * k + j];
        const double diag = inv[c * k + c];
        double line[64];
        for (size_t j = 0; j < k; j++)
            line[j] = inv[c * k + j];
        for (size_t i = 0; i < k; i++)
            for (size_t j = 0; j < k; j++)
                inv[i * k + j] -= line[i] * line[j] / diag;
        inv[c * k + c] = 1; /* not used again */
    }
    free(inv);
}

static void by_diagonal(const problem *p, size_t group, size_t *order)
{
    const size_t k = p->r.cols;
    const double *h = p->h + group * k * k;
    for (size_t i = 0; i < k; i++)
        order[i] = i;
    for (size_t i = 0; i < k; i++)
        for (size_t j = i + 1; j < k; j++)
            if (h[order[j] * (k + 1)] > h[order[i] * (k + 1)]) {
                const size_t t = order[i];
                order[i] = order[j];
                order[j] = t;
            }
}

static void test_gptq_is_the_slow_recursion_of_obq(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        const size_t groups = seed % 3 + 1, k = 5 + seed * 3;
        problem p = make(seed, groups * 7, k, groups, seed % 2 ? 0.3 : 0);
        for (int order = 0; order < 2; order++) {
            const sqz_gptq_options o = {.order = order};
            size_t perm[64];
            int want[64];
            TEST_OK(p.ctx, sqz_gptq(&p.r, &o, p.codes));
            for (size_t row = 0; row < p.r.rows; row++) {
                for (size_t i = 0; i < k; i++)
                    perm[i] = i;
                if (order)
                    by_diagonal(&p, row / 7, perm);
                slow_obq(&p, row, perm, want);
                for (size_t i = 0; i < k; i++)
                    assert_int_equal(p.codes[row * k + i], want[i]);
            }
        }
        end(&p);
    }
}

/* Every point of a small box is tried. */
static double best_of_all(const problem *p, size_t row)
{
    const size_t k = p->r.cols;
    int8_t *q = calloc(p->r.rows * k, 1);
    double least = INFINITY;
    size_t all = 1;
    for (size_t i = 0; i < k; i++)
        all *= 5;
    for (size_t n = 0; n < all; n++) {
        size_t rest = n;
        for (size_t i = 0; i < k; i++, rest /= 5)
            q[row * k + i] = (int8_t)((int)(rest % 5) - 2);
        const double c = cost(p, row, q, p->scale);
        least = c < least ? c : least;
    }
    free(q);
    return least;
}

static void test_rows_of_few_terms_get_the_best_codes_there_are(void **state)
{
    (void)state;
    const sqz_gptq_options o = {.exact = true, .polish = true};
    for (uint64_t seed = 1; seed <= 10; seed++) {
        problem p = make(100 + seed, 6, 2 + seed % 5, 6, seed % 2 ? 0.5 : 0);
        p.r.lo = -2;
        p.r.hi = 2;
        for (size_t i = 0; i < p.r.rows * p.r.cols; i++)
            p.scale[i] = 0.9f;
        TEST_OK(p.ctx, sqz_gptq(&p.r, &o, p.codes));
        for (size_t row = 0; row < p.r.rows; row++) {
            const double want = best_of_all(&p, row);
            TEST_NEAR(cost(&p, row, p.codes, p.scale), want, 1e-5 * (1 + fabs(want)));
        }
        end(&p);
    }
}

static void test_costs_are_those_of_the_definition(void **state)
{
    (void)state;
    problem p = make(7, 12, 20, 3, 0.4);
    double got[12];
    sqz_rounding_nearest(&p.r, NULL, p.codes);
    TEST_OK(p.ctx, sqz_rounding_cost(&p.r, p.codes, got));
    for (size_t row = 0; row < p.r.rows; row++)
        TEST_NEAR(got[row], cost(&p, row, p.codes, p.scale), 1e-4);
    end(&p);
}

/* After the descent no change of one code by one step helps, and nothing got worse. */
static void test_descent_ends_where_no_single_step_helps(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        problem p = make(40 + seed, 9, 30, 1, 0.2);
        double before[9];
        sqz_rounding_nearest(&p.r, NULL, p.codes);
        for (size_t row = 0; row < 9; row++)
            before[row] = cost(&p, row, p.codes, p.scale);
        TEST_OK(p.ctx, sqz_rounding_descend(&p.r, p.codes));
        for (size_t row = 0; row < 9; row++) {
            const double now = cost(&p, row, p.codes, p.scale);
            assert_true(now <= before[row] + 1e-6);
            for (size_t c = 0; c < 30; c++)
                for (int step = -1; step <= 1; step += 2) {
                    int8_t *q = &p.codes[row * 30 + c];
                    if (*q + step < -7 || *q + step > 7)
                        continue;
                    *q = (int8_t)(*q + step);
                    assert_true(cost(&p, row, p.codes, p.scale) > now - 2e-3 * fabs(now) - 1e-4);
                    *q = (int8_t)(*q - step);
                }
        }
        end(&p);
    }
}

static void test_searched_scales_are_never_worse(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        problem p = make(70 + seed, 10, 24, 1, 0.2);
        double plain[10];
        const sqz_gptq_options o = {.order = true, .polish = true};
        TEST_OK(p.ctx, sqz_gptq(&p.r, &o, p.codes));
        for (size_t row = 0; row < 10; row++)
            plain[row] = cost(&p, row, p.codes, p.scale);
        p.r.row_scale = true;
        const sqz_gptq_options more = {.order = true, .polish = true, .scales = true};
        TEST_OK(p.ctx, sqz_gptq(&p.r, &more, p.codes));
        double sum = 0, sum_plain = 0;
        for (size_t row = 0; row < 10; row++) {
            sum += cost(&p, row, p.codes, p.scale);
            sum_plain += plain[row];
            for (size_t c = 1; c < 24; c++) /* one for the row */
                assert_true(p.scale[row * 24 + c] == p.scale[row * 24]);
        }
        assert_true(sum < sum_plain);
        end(&p);
    }
}

static void test_indefinite_moments_are_damped_more(void **state)
{
    (void)state;
    problem p = make(5, 4, 6, 1, 0);
    for (size_t i = 0; i < 36; i++)
        p.h[i] = i % 7 ? 1.0 : 0.999; /* off the diagonal more than on it */
    TEST_OK(p.ctx, sqz_gptq(&p.r, &(sqz_gptq_options){0}, p.codes));
    for (size_t i = 0; i < 36; i++)
        p.h[i] = i % 7 ? 1000.0 : 0.001;
    TEST_FAILS(p.ctx, sqz_gptq(&p.r, &(sqz_gptq_options){0}, p.codes), SQZ_E_FORMAT,
               "not positive definite");
    end(&p);
}

/* ---- in a recipe ---- */

static net make_net(uint64_t seed)
{
    net n = net_begin(seed);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 10, 10}});
    sqz_vid a = net_unary(&n, "relu", "r1", "", net_conv(&n, "c1", x, 8, 3));
    sqz_vid w[3] = {a, net_const(&n, "dw.w", (sqz_shape){4, {8, 1, 3, 3}}, 0.4),
                    net_const(&n, "dw.b", (sqz_shape){1, {8}}, 0.1)};
    sqz_vid d = net_unary(&n, "relu", "r2", "",
                          net_node(&n, "dwconv2d", "dw", "pads=1,1,1,1", 3, w));
    sqz_vid c = net_unary(&n, "relu", "r3", "", net_conv(&n, "c2", d, 12, 1));
    sqz_vid p = net_unary(&n, "global_average_pool", "pool", "", net_conv(&n, "c3", c, 10, 3));
    net_finish(&n, 1, &p);
    return n;
}

/* Signal to noise after a recipe, over samples that it has not seen; bytes of all weights added up
 * in *sum. */
static double snr_of(const char *recipe, int threads, uint64_t *sum)
{
    net n = make_net(11);
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    o.threads = threads;
    if (threads) { /* the same network in a context of its own */
        net_end(&n);
        n = (net){.r = {.seed = 11}};
        assert_int_equal(sqz_ctx_create(&o, &n.ctx), SQZ_OK);
        net m = make_net(11);
        sqz_str text = {.ctx = m.ctx};
        TEST_OK(m.ctx, sqz_graph_print(m.g, SIZE_MAX, &text));
        TEST_OK(n.ctx, sqz_graph_parse(n.ctx, text.data, &n.g));
        n.r = m.r;
        sqz_str_free(&text);
        net_end(&m);
    }
    return net_snr_after(&n, recipe, 48, 32, sum);
}

static void test_gptq_brings_four_bits_near_the_float_network(void **state)
{
    (void)state;
    uint64_t sum;
    const double nearest = snr_of("calib(method=minmax),ptq(weights=4 edges=0)", 0, &sum);
    const double plain = snr_of(
        "calib(method=minmax),ptq(weights=4 edges=0),gptq(polish=0 scales=0 bias=0 asymmetric=0)",
        0, &sum);
    const double full = snr_of("calib(method=minmax),ptq(weights=4 edges=0),gptq", 0, &sum);
    assert_true(plain > nearest + 1);
    assert_true(full > plain + 1);
}

static void test_threads_do_not_change_the_codes(void **state)
{
    (void)state;
    uint64_t one, three, again;
    (void)snr_of("calib(method=minmax),ptq(weights=4),gptq", 1, &one);
    (void)snr_of("calib(method=minmax),ptq(weights=4),gptq", 3, &three);
    (void)snr_of("calib(method=minmax),ptq(weights=4),gptq", 3, &again);
    assert_true(one == three);
    assert_true(three == again);
}

static void test_bias_correction_makes_the_means_equal(void **state)
{
    (void)state;
    net n = make_net(21);
    sqz_dataset ds = net_data(&n, 40);
    sqz_env env = {.calib = &ds};
    sqz_graph *reference;
    TEST_OK(n.ctx, sqz_graph_clone(n.g, &reference));
    TEST_OK(n.ctx,
            sqz_run_recipe(n.g, "calib(method=minmax),ptq(weights=4 edges=0),bias_correct", &env));
    sqz_arena a = {.ctx = n.ctx};
    sqz_site *site;
    uint32_t n_site;
    sqz_flow *f;
    TEST_OK(n.ctx, sqz_sites(reference, n.g, &a, &site, &n_site));
    TEST_OK(n.ctx, sqz_flow_open(reference, n.g, &(sqz_flow_options){.ds = &ds}, &f));
    for (uint32_t i = 0; i < n_site; i++) {
        sqz_site *s = &site[i];
        const size_t k = s->cols;
        sqz_site_moments m;
        float *w = calloc(s->rows * k, sizeof *w), *scale = calloc(s->rows * k, sizeof *scale);
        int32_t *zero = calloc(s->rows * k, sizeof *zero);
        int8_t *q = calloc(s->rows * k, 1);
        double *b = calloc(s->rows, sizeof *b), *bq = calloc(s->rows, sizeof *bq);
        TEST_OK(n.ctx, sqz_flow_advance(f, s->node));
        TEST_OK(n.ctx, sqz_site_weights(reference, s, w));
        TEST_OK(n.ctx, sqz_site_grid(n.g, s, scale, zero));
        TEST_OK(n.ctx, sqz_site_codes(n.g, s, q));
        TEST_OK(n.ctx, sqz_site_bias(reference, s, b));
        TEST_OK(n.ctx, sqz_site_bias(n.g, s, bq));
        TEST_OK(n.ctx,
                sqz_site_measure(f, s, w, &(sqz_moment_options){.means_only = true}, &a, &m));
        for (size_t r = 0; r < s->rows; r++) {
            const size_t g = sqz_site_group(s, r);
            double want = b[r], got = bq[r];
            for (size_t c = 0; c < k; c++) {
                want += (double)w[r * k + c] * m.mx[g * k + c];
                got += (double)scale[r * k + c] * q[r * k + c] * m.mq[g * k + c];
            }
            const sqz_quant *grid = sqz_val(n.g, s->qb)->quant; /* rounded to a step of the bias */
            TEST_NEAR(got, want, 0.51 * (double)grid->scale[grid->n == 1 ? 0 : r] + 1e-6);
        }
        free(w);
        free(scale);
        free(zero);
        free(q);
        free(b);
        free(bq);
    }
    sqz_flow_close(f);
    sqz_arena_free(&a);
    sqz_graph_free(reference);
    net_data_free(&ds);
    net_end(&n);
}

static void test_refusals_say_what_is_missing(void **state)
{
    (void)state;
    net n = make_net(31);
    TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "gptq", NULL), SQZ_E_ARG, "put 'ptq' before it");
    TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "bias_correct", NULL), SQZ_E_ARG, "put 'ptq' before it");
    sqz_dataset ds = net_data(&n, 8);
    sqz_env env = {.calib = &ds}, none = {0};
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "calib,ptq", &env));
    TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "gptq", &env), SQZ_E_ARG, "gptq");
    net m = make_net(31);
    sqz_graph *reference;
    TEST_OK(m.ctx, sqz_graph_clone(m.g, &reference));
    sqz_dataset ds2 = net_data(&m, 8);
    env.calib = &ds2;
    TEST_OK(m.ctx, sqz_run_recipe(m.g, "calib,ptq", &env));
    none.reference = reference;
    TEST_FAILS(m.ctx, sqz_run_recipe(m.g, "gptq", &none), SQZ_E_ARG, "needs calibration data");
    TEST_FAILS(m.ctx, sqz_run_recipe(m.g, "bias_correct", &none), SQZ_E_ARG,
               "needs calibration data");
    sqz_graph_free(reference);
    net_data_free(&ds);
    net_data_free(&ds2);
    net_end(&n);
    net_end(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gptq_is_the_slow_recursion_of_obq),
        cmocka_unit_test(test_rows_of_few_terms_get_the_best_codes_there_are),
        cmocka_unit_test(test_costs_are_those_of_the_definition),
        cmocka_unit_test(test_descent_ends_where_no_single_step_helps),
        cmocka_unit_test(test_searched_scales_are_never_worse),
        cmocka_unit_test(test_indefinite_moments_are_damped_more),
        cmocka_unit_test(test_gptq_brings_four_bits_near_the_float_network),
        cmocka_unit_test(test_threads_do_not_change_the_codes),
        cmocka_unit_test(test_bias_correction_makes_the_means_equal),
        cmocka_unit_test(test_refusals_say_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
