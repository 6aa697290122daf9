/* Own errors of layers: the layer that was changed is found, whatever lies behind it. */
#include "eval/eval.h"
#include "eval/without.h"
#include "net.h"

enum { LAYERS = 4 };
static const char *const layer_name[LAYERS] = {"a", "b", "c", "d"};

/* Four convolutions with relus between, and a sum around the second. */
static net make(uint64_t seed)
{
    net n = net_begin(seed);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 6, 6}});
    sqz_vid a = net_unary(&n, "relu", "ra", "", net_conv(&n, "a", x, 8, 3));
    sqz_vid b = net_unary(&n, "relu", "rb", "", net_conv(&n, "b", a, 8, 3));
    sqz_vid c = net_unary(&n, "relu", "rc", "", net_conv(&n, "c", b, 8, 3));
    sqz_vid d = net_conv(&n, "d", net_binary(&n, "add", "sum", c, a), 5, 1);
    net_finish(&n, 1, &d);
    return n;
}

static void scale(const net *n, sqz_graph *g, const char *name, const char *part, double factor)
{
    char full[64];
    sqz_tensor t;
    (void)snprintf(full, sizeof full, "%s.%s", name, part);
    sqz_vid v = sqz_graph_find(g, full);
    TEST_OK(n->ctx, sqz_tensor_cast(n->ctx, sqz_val(g, v)->constant, SQZ_F32, &t));
    for (size_t i = 0; i < t.count; i++)
        SQZ_F32P(&t)[i] = (float)((double)SQZ_F32P(&t)[i] * factor);
    TEST_OK(n->ctx, sqz_value_set_constant(g, v, &t));
}

static sqz_eval_result *compare(const net *n, const sqz_graph *g, sqz_dataset *ds, int64_t batch)
{
    const sqz_eval_options o = {
        .metrics = "snr", .batch = batch, .reference = n->g, .layers = true};
    sqz_eval_result *r;
    TEST_OK(n->ctx, sqz_eval_graph(g, ds, &o, &r));
    return r;
}

static const sqz_eval_layer *of(const sqz_eval_result *r, const char *node)
{
    for (uint32_t i = 0; i < r->n_layer; i++)
        if (strcmp(r->layer[i].node, node) == 0)
            return &r->layer[i];
    fail_msg("no layer '%s'", node);
    return NULL;
}

static const sqz_eval_layer *worst(const sqz_eval_result *r)
{
    const sqz_eval_layer *w = &r->layer[0];
    for (uint32_t i = 1; i < r->n_layer; i++)
        w = r->layer[i].own_db < w->own_db ? &r->layer[i] : w;
    return w;
}

static void test_the_scaled_layer_is_found(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        for (int k = 0; k < LAYERS; k++)
            for (int compensated = 0; compensated <= (k < 2); compensated++) {
                net n = make(seed);
                sqz_dataset ds = net_data(&n, 9);
                sqz_graph *g;
                TEST_OK(n.ctx, sqz_graph_clone(n.g, &g));
                scale(&n, g, layer_name[k], "w", 100);
                scale(&n, g, layer_name[k], "b", 100);
                if (compensated)
                    scale(&n, g, layer_name[k + 1], "w", 0.01);
                sqz_eval_result *r = compare(&n, g, &ds, 0);
                const sqz_eval_layer *w = worst(r);
                assert_string_equal(w->node, layer_name[k]);
                TEST_NEAR(w->gain, 100, 1e-3);
                TEST_NEAR(w->own_cosine, 1, 1e-5);
                for (uint32_t i = 0; i < r->n_layer; i++) {
                    bool next = compensated && strcmp(r->layer[i].node, layer_name[k + 1]) == 0;
                    if (&r->layer[i] != w && !next)
                        assert_true(r->layer[i].own_db > 100);
                }
                sqz_eval_free(n.ctx, r);
                sqz_graph_free(g);
                net_data_free(&ds);
                net_end(&n);
            }
}

/* A layer alone errs as it does in a network in which nothing else was changed. */
static void test_own_error_is_that_of_the_layer_alone(void **state)
{
    (void)state;
    net n = make(7);
    sqz_dataset ds = net_data(&n, 5);
    static const double factor[LAYERS] = {1.02, 0.97, 1.05, 0.9};
    sqz_graph *all;
    TEST_OK(n.ctx, sqz_graph_clone(n.g, &all));
    for (int k = 0; k < LAYERS; k++)
        scale(&n, all, layer_name[k], "w", factor[k]);
    sqz_eval_result *r = compare(&n, all, &ds, 2);
    for (int k = 0; k < LAYERS; k++) {
        sqz_graph *one;
        TEST_OK(n.ctx, sqz_graph_clone(n.g, &one));
        scale(&n, one, layer_name[k], "w", factor[k]);
        sqz_eval_result *alone = compare(&n, one, &ds, 2);
        TEST_NEAR(of(r, layer_name[k])->own_db, of(alone, layer_name[k])->snr_db, 1e-3);
        assert_true(of(r, layer_name[k])->own_db < 60);
        sqz_eval_free(n.ctx, alone);
        sqz_graph_free(one);
    }
    sqz_eval_free(n.ctx, r);
    sqz_graph_free(all);
    net_data_free(&ds);
    net_end(&n);
}

static sqz_graph *quantized(const net *n, sqz_dataset *ds, const char *recipe)
{
    sqz_graph *g;
    sqz_env env = {.calib = ds};
    TEST_OK(n->ctx, sqz_graph_clone(n->g, &g));
    TEST_OK(n->ctx, sqz_run_recipe(g, recipe, &env));
    return g;
}

static void test_quantized_layers_have_own_errors_too(void **state)
{
    (void)state;
    for (uint64_t seed = 11; seed <= 13; seed++) {
        net n = make(seed);
        sqz_dataset ds = net_data(&n, 7);
        sqz_graph *g = quantized(&n, &ds, "calib(method=minmax),ptq");
        sqz_eval_result *r = compare(&n, g, &ds, 4), *again = compare(&n, g, &ds, 1);
        assert_true(r->n_layer >= LAYERS);
        TEST_NEAR(r->layer[0].own_db, r->layer[0].snr_db, 1e-9); /* nothing stands in front of it */
        for (uint32_t i = 0; i < r->n_layer; i++) {
            assert_true(r->layer[i].own_db > 25 && r->layer[i].own_db < 100);
            TEST_NEAR(r->layer[i].own_db, again->layer[i].own_db, 1e-9);
            uint64_t seen = 0;
            for (int k = 0; k < SQZ_PICTURE; k++)
                seen += r->layer[i].picture[k];
            assert_true(seen > 0);
            assert_true(r->layer[i].grid_lo < r->layer[i].grid_hi || isnan(r->layer[i].grid_lo));
            assert_true(r->layer[i].outside < 0.05);
        }
        sqz_eval_free(n.ctx, again);
        sqz_eval_free(n.ctx, r);
        sqz_graph_free(g);
        net_data_free(&ds);
        net_end(&n);
    }
}

/* A layer whose grid is too small for what it has to hold is told by what lies outside. */
static void test_values_outside_of_a_grid_are_counted(void **state)
{
    (void)state;
    net n = make(5);
    sqz_dataset ds = net_data(&n, 8);
    sqz_graph *g = quantized(&n, &ds, "calib(method=minmax),ptq");
    const sqz_vid y = sqz_nod(g, sqz_val(g, sqz_graph_find(g, "d"))->producer)->in[0];
    assert_non_null(sqz_val(g, y)->quant);
    sqz_eval_result *r = compare(&n, g, &ds, 0);
    assert_true(of(r, "c")->outside < 1e-6);
    sqz_eval_free(n.ctx, r);
    sqz_graph_free(g);
    g = quantized(&n, &ds, "calib(method=\"percentile(p=80)\"),ptq");
    r = compare(&n, g, &ds, 0);
    assert_true(of(r, "a")->outside > 0.05);
    assert_true(of(r, "a")->saturated > 0.05);
    sqz_eval_free(n.ctx, r);
    sqz_graph_free(g);
    net_data_free(&ds);
    net_end(&n);
}

/* Coarse weights of a layer are gone when it is float. */
static void test_a_node_can_be_float_again(void **state)
{
    (void)state;
    net n = make(21);
    sqz_dataset ds = net_data(&n, 6);
    for (int k = 0; k < LAYERS; k++) {
        char recipe[96];
        (void)snprintf(recipe, sizeof recipe, "calib(method=minmax),ptq(edges=0 bits=\"%s:3\")",
                       layer_name[k]);
        sqz_graph *g = quantized(&n, &ds, recipe);
        sqz_eval_result *r = compare(&n, g, &ds, 0);
        double before = of(r, layer_name[k])->own_db, model = r->metric[0].value;
        sqz_nid id = of(r, layer_name[k])->id;
        double bytes = sqz_node_constant_bytes(g, id);
        sqz_eval_free(n.ctx, r);
        TEST_OK(n.ctx, sqz_graph_float_node(g, id, n.g));
        TEST_OK(n.ctx, sqz_graph_verify(g));
        const sqz_eval_options o = {.metrics = "snr", .reference = n.g};
        TEST_OK(n.ctx, sqz_eval_graph(g, &ds, &o, &r));
        assert_true(before < 25);
        assert_true(r->metric[0].value > model + 3);
        assert_true(bytes < sqz_node_constant_bytes(n.g, id) / 2);
        sqz_eval_free(n.ctx, r);
        sqz_graph_free(g);
    }
    net_data_free(&ds);
    net_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_scaled_layer_is_found),
        cmocka_unit_test(test_own_error_is_that_of_the_layer_alone),
        cmocka_unit_test(test_quantized_layers_have_own_errors_too),
        cmocka_unit_test(test_values_outside_of_a_grid_are_counted),
        cmocka_unit_test(test_a_node_can_be_float_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
