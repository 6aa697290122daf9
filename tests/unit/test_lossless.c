/* Channels that leave without a change: dead, constant, or read by nothing. */
#include "net.h"
#include "prune/lossless.h"

/* Output channel `o` of a convolution (O,K,K,I) is the number `bias` everywhere. */
static void constant_channel(net *n, const char *name, int64_t o, float bias)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%.40s.w", name);
    const sqz_tensor *t = sqz_val(n->g, sqz_graph_find(n->g, text))->constant;
    const size_t row = t->count / (size_t)t->shape.dim[0];
    memset(SQZ_F32P(t) + (size_t)o * row, 0, row * sizeof(float));
    (void)snprintf(text, sizeof text, "%.40s.b", name);
    net_numbers(n, text)[o] = bias;
}

/* No output of a convolution reads input channel i. */
static void unread_channel(net *n, const char *name, size_t i)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%.40s.w", name);
    const sqz_tensor *t = sqz_val(n->g, sqz_graph_find(n->g, text))->constant;
    const size_t c = (size_t)t->shape.dim[t->shape.rank - 1];
    for (size_t k = i; k < t->count; k += c)
        SQZ_F32P(t)[k] = 0;
}

static net chain(void)
{
    net n = net_begin(61);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 8, 8}});
    x = net_unary(&n, "relu", "r1", "", net_conv(&n, "a", x, 8, 3));
    x = net_unary(&n, "relu", "r2", "", net_conv(&n, "b", x, 6, 3)); /* with padding */
    x = net_conv(&n, "c", x, 5, 1);                                  /* without */
    x = net_unary(&n, "relu", "r3", "", x);
    x = net_conv(&n, "end", x, 4, 1);
    net_finish(&n, 1, &x);
    return n;
}

static int64_t rows(const sqz_graph *g, const char *name)
{
    return sqz_val(g, sqz_graph_find(g, name))->shape.dim[0];
}

static void same_outputs(net *n, const sqz_graph *h, sqz_dataset *ds)
{
    size_t count, again;
    float *want = net_run(n->g, ds, 0, &count), *got = net_run(h, ds, 0, &again);
    double top = 0;
    assert_int_equal(count, again);
    for (size_t i = 0; i < count; i++)
        top = fmax(top, fabs((double)want[i]));
    for (size_t i = 0; i < count; i++)
        TEST_NEAR((double)got[i], (double)want[i], 1e-5 * top);
    free(want);
    free(got);
}

static void test_dead_and_unread_channels_leave(void **state)
{
    (void)state;
    net n = chain();
    sqz_lossless found;
    sqz_graph *h;
    net_numbers(&n, "a.b")[2] = -1000; /* relu never lets it through */
    net_numbers(&n, "a.b")[5] = -1000;
    unread_channel(&n, "b", 7);
    sqz_dataset ds = net_data(&n, 12);
    const sqz_student_env env = {.data = &ds};
    TEST_OK(n.ctx, sqz_prune_lossless(n.g, &env, 0, &found, &h));
    assert_int_equal(rows(h, "a.w"), 5);
    assert_int_equal(found.unread, 1);
    assert_int_equal(found.constant, 2);
    assert_int_equal(found.before - found.after, 3 * (27 + 1 + 9 * 6));
    same_outputs(&n, h, &ds);
    sqz_graph_free(h);
    TEST_OK(n.ctx, sqz_prune_lossless(n.g, NULL, 0, &found, &h)); /* what weights say */
    assert_int_equal(rows(h, "a.w"), 7);
    assert_int_equal(found.constant, 0);
    same_outputs(&n, h, &ds);
    sqz_graph_free(h);
    net_data_free(&ds);
    net_end(&n);
}

static void test_what_a_constant_channel_adds_goes_into_the_bias_behind(void **state)
{
    (void)state;
    net n = chain();
    sqz_lossless found;
    sqz_graph *h;
    constant_channel(&n, "b", 1, 1.5f); /* read by a 1x1 convolution: leaves */
    constant_channel(&n, "a", 3, 2.5f); /* read with padding: other at the borders, stays */
    sqz_dataset ds = net_data(&n, 6);
    const sqz_student_env env = {.data = &ds};
    TEST_OK(n.ctx, sqz_prune_lossless(n.g, &env, 0, &found, &h));
    assert_int_equal(rows(h, "a.w"), 8);
    assert_int_equal(rows(h, "b.w"), 5);
    assert_int_equal(found.constant, 1);
    same_outputs(&n, h, &ds);
    sqz_graph_free(h);
    net_data_free(&ds);
    net_end(&n);
}

/* A channel that only a dead channel reads is read by nothing. */
static void test_leaving_goes_on_upwards(void **state)
{
    (void)state;
    net n = chain();
    sqz_lossless found;
    sqz_graph *h;
    float *w = net_numbers(&n, "c.w"); /* (5, 1, 1, 6): only output 4 reads channels 0 and 3 */
    for (int o = 0; o < 4; o++)
        w[o * 6] = w[o * 6 + 3] = 0;
    net_numbers(&n, "c.b")[4] = -1000;
    sqz_dataset ds = net_data(&n, 6);
    const sqz_student_env env = {.data = &ds};
    TEST_OK(n.ctx, sqz_prune_lossless(n.g, &env, 0, &found, &h));
    assert_int_equal(rows(h, "c.w"), 4);
    assert_int_equal(rows(h, "b.w"), 4);
    assert_int_equal(found.unread, 2);
    same_outputs(&n, h, &ds);
    sqz_graph_free(h);
    net_data_free(&ds);
    net_end(&n);
}

static void test_a_layer_keeps_a_channel_though_all_are_dead(void **state)
{
    (void)state;
    net n = chain();
    sqz_lossless found;
    sqz_graph *h;
    for (int o = 0; o < 6; o++)
        net_numbers(&n, "b.b")[o] = -1000;
    sqz_dataset ds = net_data(&n, 4);
    const sqz_student_env env = {.data = &ds};
    TEST_OK(n.ctx, sqz_prune_lossless(n.g, &env, 0, &found, &h));
    assert_int_equal(rows(h, "b.w"), 1);
    same_outputs(&n, h, &ds);
    sqz_graph_free(h);
    net_data_free(&ds);
    net_end(&n);
}

/* A dense layer without a bias gets one; the numbers are computed by hand. */
static void test_a_product_without_a_bias_gets_one(void **state)
{
    (void)state;
    net n = net_begin(62);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 4, 4}});
    x = net_unary(&n, "relu", "r", "", net_conv(&n, "a", x, 4, 1));
    x = net_unary(&n, "flatten", "f", "", net_unary(&n, "global_average_pool", "gap", "", x));
    const sqz_vid in[2] = {x, net_const(&n, "fc.w", (sqz_shape){2, {3, 4}}, 1)};
    x = net_node(&n, "gemm", "fc", "", 2, in);
    net_finish(&n, 1, &x);
    constant_channel(&n, "a", 2, 0.5f);
    sqz_dataset ds = net_data(&n, 5);
    const sqz_student_env env = {.data = &ds};
    sqz_lossless found;
    sqz_graph *h;
    TEST_OK(n.ctx, sqz_prune_lossless(n.g, &env, 0, &found, &h));
    const float *b = SQZ_F32P(sqz_val(h, sqz_graph_find(h, "fc_bias"))->constant);
    for (int o = 0; o < 3; o++)
        TEST_NEAR((double)b[o], 0.5 * (double)net_numbers(&n, "fc.w")[o * 4 + 2], 1e-7);
    same_outputs(&n, h, &ds);
    sqz_graph_free(h);
    net_data_free(&ds);
    net_end(&n);
}

static void test_a_live_network_stays_as_it_is(void **state)
{
    (void)state;
    net n = chain();
    sqz_dataset ds = net_data(&n, 8);
    const sqz_student_env env = {.data = &ds};
    sqz_lossless found;
    sqz_graph *h;
    for (int o = 0; o < 8; o++)
        net_numbers(&n, "a.b")[o] = 1;
    TEST_OK(n.ctx, sqz_prune_lossless(n.g, &env, 0, &found, &h));
    assert_true(found.before == found.after && found.constant == 0 && found.unread == 0);
    sqz_graph_free(h);
    net_data_free(&ds);
    net_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dead_and_unread_channels_leave),
        cmocka_unit_test(test_what_a_constant_channel_adds_goes_into_the_bias_behind),
        cmocka_unit_test(test_leaving_goes_on_upwards),
        cmocka_unit_test(test_a_layer_keeps_a_channel_though_all_are_dead),
        cmocka_unit_test(test_a_product_without_a_bias_gets_one),
        cmocka_unit_test(test_a_live_network_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
