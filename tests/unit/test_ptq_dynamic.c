/* Grids that are found at every run: structure, the formula by naive loops, and what stays float.
 */
#include "net.h"
#include <math.h>

static const sqz_node *node_of(const net *n, const char *op, unsigned k)
{
    SQZ_EACH_NODE(n->g, id)
    {
        if (strcmp(sqz_nod(n->g, id)->op->info.name, op) == 0 && k-- == 0)
            return sqz_nod(n->g, id);
    }
    return NULL;
}

static unsigned count_ops(const net *n, const char *op)
{
    unsigned k = 0;
    while (node_of(n, op, k))
        k++;
    return k;
}

/* x (1, I) . w (I, O) + b, as the file format defines it */
static void naive(const float *x, size_t in, const int8_t *w, const float *scale, const float *b,
                  size_t out, double *y)
{
    float lo = 0, hi = 0;
    for (size_t i = 0; i < in; i++) {
        lo = fminf(lo, x[i]);
        hi = fmaxf(hi, x[i]);
    }
    const float s = (hi - lo) / 255.0f;
    const double z = fmin(fmax(nearbyint(-(double)lo / (double)s), 0), 255);
    for (size_t o = 0; o < out; o++) {
        double sum = 0;
        for (size_t i = 0; i < in; i++) {
            const double q = fmin(fmax(nearbyintf(x[i] / s) + z, 0), 255);
            sum += (q - z) * w[i * out + o];
        }
        y[o] = sum * (double)s * (double)scale[o] + (b ? (double)b[o] : 0);
    }
}

static void test_a_product_is_what_the_formula_says(void **state)
{
    (void)state;
    enum { IN = 40, OUT = 7 };
    for (int gemm = 0; gemm < 2; gemm++) {
        net n = net_begin(1);
        sqz_vid x = net_input(&n, (sqz_shape){2, {1, IN}});
        sqz_vid w = net_const(&n, "w", (sqz_shape){2, {gemm ? OUT : IN, gemm ? IN : OUT}}, 1);
        sqz_vid b = net_const(&n, "b", (sqz_shape){1, {OUT}}, 1);
        sqz_vid y = gemm ? net_node(&n, "gemm", "y", "", 3, (sqz_vid[3]){x, w, b})
                         : net_binary(&n, "matmul", "y", x, w);
        net_finish(&n, 1, &y);
        sqz_dataset test = net_data(&n, 1);
        TEST_OK(n.ctx, sqz_run_recipe(n.g, "ptq(dynamic=1)", NULL));
        const sqz_node *p = node_of(&n, "matmul_integer", 0), *m = node_of(&n, "mul", 0);
        const sqz_tensor *codes = sqz_val(n.g, p->in[1])->constant;
        const sqz_tensor *scale = sqz_val(n.g, m->in[0])->constant;
        const sqz_node *add = node_of(&n, "add", 0);
        double want[OUT];
        size_t count;
        assert_true(codes->dtype == SQZ_S8 && codes->shape.dim[0] == IN);
        naive(test.impl, IN, SQZ_S8P(codes), SQZ_F32P(scale),
              add ? SQZ_F32P(sqz_val(n.g, add->in[1])->constant) : NULL, OUT, want);
        float *got = net_run(n.g, &test, 0, &count);
        assert_true((add != NULL) == (gemm == 1));
        for (size_t o = 0; o < OUT; o++) /* three float roundings */
            TEST_NEAR((double)got[o], want[o], 4e-7 * (1 + fabs(want[o])));
        assert_string_equal(sqz_value_file_name(n.g, n.g->output[0]), "y");
        free(got);
        net_data_free(&test);
        net_end(&n);
    }
}

static void test_a_network_stays_near_its_float_self(void **state)
{
    (void)state;
    net n = net_begin(2);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 8, 8}});
    sqz_vid a = net_unary(&n, "relu", "ra", "", net_conv(&n, "a", x, 8, 3));
    sqz_vid w = net_const(&n, "d.w", (sqz_shape){4, {8, 1, 3, 3}}, 0.5);
    sqz_vid d = net_node(&n, "dwconv2d", "d", "pads=1,1,1,1", 2, (sqz_vid[2]){a, w});
    sqz_vid s = net_binary(&n, "add", "s", d, net_conv(&n, "b", a, 8, 1));
    net_finish(&n, 1, &s);
    sqz_dataset test = net_data(&n, 10);
    size_t count;
    float *before = net_run(n.g, &test, 0, &count);
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "ptq(dynamic=1)", NULL));
    TEST_OK(n.ctx, sqz_graph_verify(n.g));
    assert_int_equal(count_ops(&n, "conv_integer"), 3);
    assert_int_equal(count_ops(&n, "dynamic_quantize"), 2); /* d and b read the same codes */
    assert_int_equal(count_ops(&n, "conv2d") + count_ops(&n, "dwconv2d"), 0);
    float *after = net_run(n.g, &test, 0, &count);
    const double db = net_snr(before, after, count);
    if (db < 33)
        fail_msg("%.1f dB", db);
    free(before);
    free(after);
    net_data_free(&test);
    net_end(&n);
}

/* Every product reads what the one before made: values that are newer than the float graph. */
static void test_products_in_a_row(void **state)
{
    (void)state;
    net n = net_begin(5);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 6, 6}});
    for (int i = 0; i < 12; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "c%d", i);
        x = net_conv(&n, name, x, 3, 1);
    }
    net_finish(&n, 1, &x);
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "ptq(dynamic=1)", NULL));
    assert_int_equal(count_ops(&n, "conv_integer"), 12);
    assert_int_equal(count_ops(&n, "dynamic_quantize"), 12);
    net_end(&n);
}

static void test_sums_that_could_wrap_around_stay_float(void **state)
{
    (void)state;
    net n = net_begin(3);
    const int64_t k = 70000;
    sqz_vid x = net_input(&n, (sqz_shape){2, {1, k}});
    sqz_vid w = net_const(&n, "w", (sqz_shape){2, {k, 1}}, 0);
    for (int64_t i = 0; i < k; i++)
        net_numbers(&n, "w")[i] = 1.0f; /* 70000 * 127 * 255 is above 2^31 */
    sqz_vid y = net_binary(&n, "matmul", "y", x, w);
    net_finish(&n, 1, &y);
    sqz_str notes = {.ctx = n.ctx};
    sqz_env env = {.notes = &notes};
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "ptq(dynamic=1)", &env));
    assert_int_equal(count_ops(&n, "matmul_integer"), 0);
    assert_non_null(strstr(notes.data, "node 'y' (matmul) stays float: its sums of products"));
    sqz_str_free(&notes);
    net_end(&n);
}

static void test_other_bits_are_refused(void **state)
{
    (void)state;
    static const char *const recipe[] = {"ptq(dynamic=1 weights=4)", "ptq(dynamic=1 group=32)",
                                         "ptq(dynamic=1 activations=16)"};
    for (size_t i = 0; i < SQZ_COUNT(recipe); i++) {
        net n = net_begin(4);
        sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 8, 8}});
        sqz_vid y = net_conv(&n, "a", x, 4, 3);
        net_finish(&n, 1, &y);
        TEST_FAILS(n.ctx, sqz_run_recipe(n.g, recipe[i], NULL), SQZ_E_ARG,
                   "dynamic grids go with 8 bits");
        net_end(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_product_is_what_the_formula_says),
        cmocka_unit_test(test_a_network_stays_near_its_float_self),
        cmocka_unit_test(test_products_in_a_row),
        cmocka_unit_test(test_sums_that_could_wrap_around_stay_float),
        cmocka_unit_test(test_other_bits_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
