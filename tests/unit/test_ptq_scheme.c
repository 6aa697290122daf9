/* Schemes of ptq: weights of fewer bits, powers of two, symmetric grids, exceptions by name. */
#include "ir/qround.h"
#include "net.h"
#include "quant/quantize.h"
#include "quant/wscale.h"
#include <math.h>

static const sqz_shape image = {4, {1, 3, 8, 8}};

static const sqz_value *value(const net *n, const char *name)
{
    sqz_vid v = sqz_graph_find(n->g, name);
    if (v == SQZ_NONE)
        fail_msg("no value '%s'", name);
    return sqz_val(n->g, v);
}

/* three convolutions with clamps, and a pool */
static net small_on(uint64_t seed, uint32_t threads)
{
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    o.threads = threads;
    net n = {.r = {.seed = seed}};
    assert_int_equal(sqz_ctx_create(&o, &n.ctx), SQZ_OK);
    TEST_OK(n.ctx, sqz_graph_create(n.ctx, &n.g));
    sqz_vid x = net_input(&n, image);
    sqz_vid a = net_unary(&n, "relu", "ra", "", net_conv(&n, "a", x, 8, 3));
    sqz_vid b = net_unary(&n, "relu", "rb", "", net_conv(&n, "b", a, 8, 3));
    sqz_vid c = net_unary(&n, "relu", "rc", "", net_conv(&n, "c", b, 12, 1));
    sqz_vid p = net_unary(&n, "global_average_pool", "p", "", c);
    sqz_vid f = net_unary(&n, "flatten", "f", "axis=1", p);
    net_finish(&n, 1, &f);
    return n;
}

static net small(uint64_t seed) { return small_on(seed, 1); }

static sqz_status apply(net *n, const char *recipe)
{
    sqz_dataset calib = net_data(n, 20);
    sqz_env env = {.calib = &calib};
    sqz_status s = sqz_run_recipe(n->g, recipe, &env);
    net_data_free(&calib);
    return s;
}

/* dB of output 0 after the recipe */
static double snr(net *n, const char *recipe)
{
    sqz_dataset test = net_data(n, 16);
    size_t count, again;
    float *before = net_run(n->g, &test, 0, &count);
    TEST_OK(n->ctx, apply(n, recipe));
    float *after = net_run(n->g, &test, 0, &again);
    assert_int_equal(count, again);
    double db = net_snr(before, after, count);
    free(before);
    free(after);
    net_data_free(&test);
    return db;
}

/* A copy of the numbers of a float constant. */
static sqz_tensor floats(const net *n, const char *name)
{
    sqz_tensor t;
    sqz_tensor_share(value(n, name)->constant, &t);
    return t;
}

/* Every code is the nearest one on its channel's grid, whose scale is what the rule says. */
static void check_codes(const net *n, const char *name, const sqz_tensor *w, int limit,
                        sqz_wrule rule)
{
    const sqz_value *v = value(n, name);
    const size_t rows = (size_t)w->shape.dim[0], cols = w->count / rows;
    float *m = malloc(cols * sizeof *m);
    assert_int_equal(v->quant->n, rows);
    assert_int_equal(sqz_quant_limit(v->quant), limit);
    for (size_t r = 0; r < rows; r++) {
        const float *x = SQZ_F32P(w) + r * cols;
        for (size_t c = 0; c < cols; c++)
            m[c] = fabsf(x[c]);
        const float s = sqz_weight_scale(m, cols, limit, rule, false);
        assert_true(v->quant->scale[r] == s && v->quant->zero[r] == 0);
        for (size_t c = 0; c < cols; c++)
            assert_int_equal(sqz_tensor_i64(v->constant, r * cols + c),
                             sqz_qround(x[c], s, 0, -limit, limit));
    }
    free(m);
}

static void test_fewer_bits_are_nearest_codes_of_the_searched_scale(void **state)
{
    (void)state;
    static const struct {
        const char *recipe;
        int limit;
        sqz_wrule rule;
        double db;
    } row[] = {{"calib,ptq(weights=8 ranges=mse)", 127, SQZ_W_MSE, 30},
               {"calib,ptq(weights=4 edges=0)", 7, SQZ_W_MSE, 10},
               {"calib,ptq(weights=4 edges=0 ranges=minmax)", 7, SQZ_W_MINMAX, 8},
               {"calib,ptq(weights=4 edges=0 ranges=lsq)", 7, SQZ_W_LSQ, 8},
               {"calib,ptq(weights=3 edges=0)", 3, SQZ_W_MSE, 5},
               {"calib,ptq(weights=2 edges=0)", 1, SQZ_W_MSE, 0.5}};
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        net n = small(1);
        sqz_tensor w = floats(&n, "b.w");
        const double db = snr(&n, row[i].recipe);
        if (db < row[i].db)
            fail_msg("%s: %.1f dB", row[i].recipe, db);
        check_codes(&n, "b.w", &w, row[i].limit, row[i].rule);
        assert_int_equal(value(&n, "b.w")->dtype, row[i].limit == 127 ? SQZ_S8 : SQZ_S4);
        sqz_tensor_free(n.ctx, &w);
        net_end(&n);
    }
}

/* The kernels unpack them: sums of products as from the same codes in bytes. */
static void test_four_bits_compute_as_the_same_codes_in_bytes(void **state)
{
    (void)state;
    net n = small(2);
    sqz_dataset test = net_data(&n, 8);
    size_t count;
    TEST_OK(n.ctx, apply(&n, "calib,ptq(weights=3 edges=0)"));
    float *packed = net_run(n.g, &test, 0, &count);
    for (sqz_vid v = 0; v < n.g->n_value; v++) {
        const sqz_value *val = sqz_val(n.g, v);
        if (!val->constant || val->dtype != SQZ_S4)
            continue;
        sqz_quant q = *val->quant;
        sqz_tensor t;
        q.dtype = SQZ_S8;
        TEST_OK(n.ctx, sqz_tensor_cast(n.ctx, val->constant, SQZ_S8, &t));
        TEST_OK(n.ctx, sqz_value_set_constant(n.g, v, &t));
        TEST_OK(n.ctx, sqz_value_set_grid(n.g, v, &q));
    }
    TEST_OK(n.ctx, sqz_graph_verify(n.g));
    float *bytes = net_run(n.g, &test, 0, &count);
    assert_memory_equal(packed, bytes, count * sizeof *bytes);
    free(packed);
    free(bytes);
    net_data_free(&test);
    net_end(&n);
}

static void test_the_ends_keep_8_bits_where_they_are_small(void **state)
{
    (void)state;
    net n = small(3); /* 216, 576 and 96 weights */
    TEST_OK(n.ctx, apply(&n, "calib,ptq(weights=4)"));
    assert_int_equal(value(&n, "a.w")->dtype, SQZ_S4); /* a quarter of all */
    assert_int_equal(value(&n, "b.w")->dtype, SQZ_S4);
    net_end(&n);
    n = small(3);
    TEST_OK(n.ctx, apply(&n, "calib,ptq(weights=4 edges=8)"));
    assert_int_equal(value(&n, "a.w")->dtype, SQZ_S8);
    assert_int_equal(value(&n, "b.w")->dtype, SQZ_S4);
    assert_int_equal(value(&n, "c.w")->dtype, SQZ_S8);
    net_end(&n);
}

static void test_exceptions_by_name(void **state)
{
    (void)state;
    net n = small(4);
    TEST_OK(n.ctx, apply(&n, "calib,ptq(weights=4 edges=0 bits=\"b:8, a|c:2, conv2d:float\")"));
    assert_int_equal(value(&n, "b.w")->dtype, SQZ_S8);
    assert_int_equal(sqz_quant_bits(value(&n, "a.w")->quant), 2);
    assert_int_equal(sqz_quant_bits(value(&n, "c.w")->quant), 2);
    net_end(&n);
    n = small(4);
    TEST_OK(n.ctx, apply(&n, "calib,ptq(bits=\"b:float\")"));
    assert_int_equal(value(&n, "b.w")->dtype, SQZ_F32);
    assert_int_equal(value(&n, "a.w")->dtype, SQZ_S8);
    net_end(&n);
}

static void test_powers_of_two_everywhere(void **state)
{
    (void)state;
    net n = small(5);
    assert_true(snr(&n, "calib,ptq(pow2=1)") > 22);
    for (sqz_vid v = 0; v < n.g->n_value; v++) {
        const sqz_quant *q = sqz_val(n.g, v)->quant;
        int e;
        for (uint32_t i = 0; q && i < q->n; i++)
            assert_true(frexpf(q->scale[i], &e) == 0.5f);
    }
    net_end(&n);
}

static void test_symmetric_grids_have_no_zero_points(void **state)
{
    (void)state;
    net n = small(6);
    assert_true(snr(&n, "calib,ptq(symmetric=1)") > 22);
    for (sqz_vid v = 0; v < n.g->n_value; v++) {
        const sqz_quant *q = sqz_val(n.g, v)->quant;
        for (uint32_t i = 0; q && i < q->n; i++)
            assert_int_equal(q->zero[i], 0);
    }
    net_end(&n);
}

static void test_what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *recipe, *part;
        sqz_status want;
    } row[] = {
        {"calib,ptq(weights=5)", "weights of 5 bits, expected 8, 4, 3 or 2", SQZ_E_ARG},
        {"calib,ptq(edges=7)", "edges of 7 bits", SQZ_E_ARG},
        {"calib,ptq(bits=\"a\")", "'a': expected a node, ':'", SQZ_E_ARG},
        {"calib,ptq(bits=\"a:5\")", "'a:5': expected", SQZ_E_ARG},
        {"calib,ptq(bits=\"b:8, q:4\")", "no node and no operator type matches 'q'",
         SQZ_E_NOTFOUND},
    };
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        net n = small(7);
        TEST_FAILS(n.ctx, apply(&n, row[i].recipe), row[i].want, row[i].part);
        net_end(&n);
    }
}

static void test_the_same_bytes_for_any_number_of_threads(void **state)
{
    (void)state;
    char *text[2];
    for (unsigned t = 0; t < 2; t++) {
        net n = small_on(8, t ? 3 : 1);
        sqz_str out = {.ctx = n.ctx};
        TEST_OK(n.ctx, apply(&n, "calib,ptq(weights=4)"));
        TEST_OK(n.ctx, sqz_graph_print(n.g, SIZE_MAX, &out));
        text[t] = strdup(out.data);
        sqz_str_free(&out);
        net_end(&n);
    }
    assert_string_equal(text[0], text[1]);
    free(text[0]);
    free(text[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fewer_bits_are_nearest_codes_of_the_searched_scale),
        cmocka_unit_test(test_four_bits_compute_as_the_same_codes_in_bytes),
        cmocka_unit_test(test_the_ends_keep_8_bits_where_they_are_small),
        cmocka_unit_test(test_exceptions_by_name),
        cmocka_unit_test(test_powers_of_two_everywhere),
        cmocka_unit_test(test_symmetric_grids_have_no_zero_points),
        cmocka_unit_test(test_what_cannot_be_is_refused),
        cmocka_unit_test(test_the_same_bytes_for_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
