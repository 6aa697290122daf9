/* What quantization leaves float though it has an integer form, and ranges that end where the
 * functions that read them change no more. */
#include "net.h"
#include "quant/quantize.h"

static void quantize(net *n, const char *recipe)
{
    sqz_dataset calib = net_data(n, 40);
    sqz_env env = {.calib = &calib};
    TEST_OK(n->ctx, sqz_run_recipe(n->g, recipe, &env));
    TEST_OK(n->ctx, sqz_graph_verify(n->g));
    net_data_free(&calib);
}
#define PTQ     "calib(method=minmax),ptq"
#define INTEGER "calib(method=minmax),ptq(islands=integer)"

/* The node of that name computes with integers. */
static bool is_integer(const net *n, const char *name)
{
    SQZ_EACH_NODE(n->g, id)
    if (strcmp(sqz_nod(n->g, id)->name, name) == 0)
        return sqz_val(n->g, sqz_nod(n->g, id)->out[0])->dtype == SQZ_S8;
    fail_msg("no node '%s'", name);
    return false;
}

static const sqz_shape image = {4, {1, 3, 8, 8}};

/* x -> conv -> sigmoid -> reshape -> y */
static net sigmoid_at_the_end(void)
{
    net n = net_begin(1);
    sqz_vid v = net_conv(&n, "c", net_input(&n, image), 4, 3);
    v = net_unary(&n, "sigmoid", "s", "", v);
    v = net_unary(&n, "flatten", "f", "axis=1", v);
    net_finish(&n, 1, &v);
    return n;
}

static void test_a_function_that_ends_the_model_stays_float(void **state)
{
    (void)state;
    net n = sigmoid_at_the_end();
    quantize(&n, PTQ);
    assert_true(is_integer(&n, "c"));
    assert_false(is_integer(&n, "s"));
    assert_false(is_integer(&n, "f"));
    net_end(&n);
    n = sigmoid_at_the_end();
    quantize(&n, INTEGER);
    assert_true(is_integer(&n, "c") && is_integer(&n, "s"));
    net_end(&n);
}

static void test_a_device_without_floats_has_no_islands(void **state)
{
    (void)state;
    net n = sigmoid_at_the_end();
    sqz_dataset calib = net_data(&n, 40);
    sqz_env env = {.calib = &calib, .integer_only = true};
    TEST_OK(n.ctx, sqz_run_recipe(n.g, PTQ, &env));
    assert_true(is_integer(&n, "c") && is_integer(&n, "s") && is_integer(&n, "f"));
    net_data_free(&calib);
    net_end(&n);
}

static void test_a_clamp_that_ends_the_model_is_the_products_own(void **state)
{
    (void)state;
    net n = net_begin(2);
    sqz_vid v = net_conv(&n, "c", net_input(&n, image), 4, 3);
    v = net_unary(&n, "relu", "r", "", v);
    net_finish(&n, 1, &v);
    quantize(&n, PTQ);
    assert_true(is_integer(&n, "c") && is_integer(&n, "r"));
    net_end(&n);
}

/* conv -> square, sum -> sqrt -> conv: powers and root are float, between two integers. */
static void test_what_a_root_reads_is_not_rounded(void **state)
{
    (void)state;
    net n = net_begin(3);
    sqz_vid a = net_conv(&n, "a", net_input(&n, image), 4, 3), b = net_conv(&n, "b", a, 4, 3);
    sqz_vid v = net_binary(&n, "add", "sum", net_binary(&n, "mul", "aa", a, a),
                           net_binary(&n, "mul", "bb", b, b));
    v = net_unary(&n, "sqrt", "root", "", v);
    v = net_conv(&n, "last", v, 2, 3);
    net_finish(&n, 1, &v);
    quantize(&n, PTQ);
    assert_true(is_integer(&n, "a") && is_integer(&n, "b") && is_integer(&n, "last"));
    assert_false(is_integer(&n, "aa") || is_integer(&n, "bb") || is_integer(&n, "sum") ||
                 is_integer(&n, "root"));
    net_end(&n);
}

/* A residual sum that a product reads, too, is no island. */
static void test_what_products_read_stays_integer(void **state)
{
    (void)state;
    net n = net_begin(4);
    sqz_vid x = net_conv(&n, "a", net_input(&n, image), 3, 3);
    sqz_vid s = net_binary(&n, "add", "s", x, net_conv(&n, "b", x, 3, 3));
    sqz_vid out[2] = {s, net_conv(&n, "c", s, 2, 3)};
    net_finish(&n, 2, out);
    quantize(&n, PTQ);
    assert_true(is_integer(&n, "s") && is_integer(&n, "c"));
    net_end(&n);
}

/* 2048 numbers would take 6 KiB more in float. */
static void test_large_constants_stay_small(void **state)
{
    (void)state;
    net n = net_begin(5);
    sqz_vid v = net_conv(&n, "c", net_input(&n, image), 32, 3);
    v = net_binary(&n, "add", "s", v, net_const(&n, "k", (sqz_shape){4, {1, 32, 8, 8}}, 1));
    net_finish(&n, 1, &v);
    quantize(&n, PTQ);
    assert_true(is_integer(&n, "s"));
    net_end(&n);
}

/* conv -> function -> conv, the first one's numbers reaching far out. */
static net far_out(const char *function, uint64_t seed)
{
    net n = net_begin(seed);
    sqz_vid v = net_conv(&n, "c", net_input(&n, image), 4, 3);
    float *w = net_numbers(&n, "c.w");
    for (int i = 0; i < 4 * 27; i++)
        w[i] *= 20;
    v = net_unary(&n, function, "f", "", v);
    v = net_conv(&n, "last", v, 2, 3);
    net_finish(&n, 1, &v);
    return n;
}

static double grid_end(const net *n, const char *name, int code)
{
    const sqz_quant *q = sqz_val(n->g, sqz_graph_find(n->g, name))->quant;
    return (double)q->scale[0] * (code - q->zero[0]);
}

static double snr(net *n, const char *recipe)
{
    sqz_dataset calib = net_data(n, 40), test = net_data(n, 20);
    sqz_env env = {.calib = &calib};
    size_t count;
    float *before = net_run(n->g, &test, 0, &count);
    TEST_OK(n->ctx, sqz_run_recipe(n->g, recipe, &env));
    float *after = net_run(n->g, &test, 0, &count);
    const double db = net_snr(before, after, count);
    free(before);
    free(after);
    net_data_free(&calib);
    net_data_free(&test);
    return db;
}

static void test_ranges_end_where_functions_change_no_more(void **state)
{
    (void)state;
    net n = far_out("hard_swish", 6); /* 0 from -3 down, x from 3 up */
    assert_true(snr(&n, PTQ) > 30);
    assert_true(grid_end(&n, "c", -128) > -3.3 && grid_end(&n, "c", -128) <= -2.9);
    assert_true(grid_end(&n, "c", 127) > 20);
    net_end(&n);
    n = far_out("sigmoid", 7); /* within a quarter of 1/256 of its ends beyond 7 */
    assert_true(snr(&n, PTQ) > 30);
    assert_true(grid_end(&n, "c", -128) > -7.5 && grid_end(&n, "c", 127) < 7.5);
    assert_true(grid_end(&n, "c", -128) < -6 && grid_end(&n, "c", 127) > 6);
    net_end(&n);
}

/* A second reader that is no function needs the whole range. */
static void test_other_readers_keep_the_range(void **state)
{
    (void)state;
    net n = net_begin(8);
    sqz_vid v = net_conv(&n, "c", net_input(&n, image), 3, 3);
    float *w = net_numbers(&n, "c.w");
    for (int i = 0; i < 3 * 27; i++)
        w[i] *= 20;
    v = net_binary(&n, "mul", "m", v, net_unary(&n, "sigmoid", "f", "", v));
    v = net_conv(&n, "last", v, 2, 3);
    net_finish(&n, 1, &v);
    quantize(&n, PTQ);
    assert_true(grid_end(&n, "c", -128) < -20 && grid_end(&n, "c", 127) > 20);
    net_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_function_that_ends_the_model_stays_float),
        cmocka_unit_test(test_a_device_without_floats_has_no_islands),
        cmocka_unit_test(test_a_clamp_that_ends_the_model_is_the_products_own),
        cmocka_unit_test(test_what_a_root_reads_is_not_rounded),
        cmocka_unit_test(test_what_products_read_stays_integer),
        cmocka_unit_test(test_large_constants_stay_small),
        cmocka_unit_test(test_ranges_end_where_functions_change_no_more),
        cmocka_unit_test(test_other_readers_keep_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
