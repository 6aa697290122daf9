/* Reverse-mode gradients of networks, and blocks that are rounded together. */
#include "net.h"
#include "quant/blocks.h"

enum { SAMPLES = 48, OUT = 5 };

/* conv - relu - [conv - relu - conv + skip] - relu - conv - relu - mean - gemm */
static net make(uint64_t seed)
{
    net n = net_begin(seed);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 8, 6}});
    sqz_vid a = net_unary(&n, "relu", "r1", "", net_conv(&n, "c1", x, 8, 3));
    sqz_vid b = net_unary(&n, "relu", "r2", "", net_conv(&n, "c2", a, 8, 3));
    sqz_vid s = net_binary(&n, "add", "sum", net_conv(&n, "c3", b, 8, 3), a);
    sqz_vid d = net_unary(&n, "relu", "r3", "", s);
    sqz_vid e = net_unary(&n, "relu", "r4", "", net_conv(&n, "c4", d, 8, 1));
    sqz_vid p = net_unary(&n, "global_average_pool", "pool", "", e);
    sqz_vid f = net_unary(&n, "flatten", "flat", "", p);
    sqz_vid fw[3] = {f, net_const(&n, "fc.w", (sqz_shape){2, {OUT, 8}}, 0.5),
                     net_const(&n, "fc.b", (sqz_shape){1, {OUT}}, 0.1)};
    sqz_vid y = net_node(&n, "gemm", "fc", "", 3, fw);
    net_finish(&n, 1, &y);
    return n;
}

/* ---- the tape ---- */

static void fill(net *n, float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = (float)sqz_rng_normal(&n->r);
}

static double weighted_sum(sqz_tape *t, const sqz_graph *g, const float *u)
{
    double sum = 0;
    TEST_OK(g->ctx, sqz_tape_forward(t));
    for (size_t i = 0; i < sqz_tape_count(t, g->output[0]); i++)
        sum += (double)u[i] * (double)sqz_tape_data(t, g->output[0])[i];
    return sum;
}

/* Weights of the first layer feed two branches: gradients add up. */
static void test_gradients_of_a_network_are_its_differences(void **state)
{
    (void)state;
    net n = make(5);
    sqz_vid want[4] = {n.g->input[0], sqz_graph_find(n.g, "c1.w"), sqz_graph_find(n.g, "c3.w"),
                       sqz_graph_find(n.g, "fc.b")};
    sqz_tape *t;
    float u[3 * OUT];
    TEST_OK(n.ctx, sqz_graph_set_batch(n.g, 3));
    const sqz_tape_options o = {.want = want, .n_want = 4, .seed = n.g->output, .n_seed = 1};
    TEST_OK(n.ctx, sqz_tape_create(n.g, &o, &t));
    fill(&n, sqz_tape_data(t, want[0]), sqz_tape_count(t, want[0]));
    fill(&n, u, 3 * OUT);
    (void)weighted_sum(t, n.g, u);
    memcpy(sqz_tape_grad(t, n.g->output[0]), u, sizeof u);
    TEST_OK(n.ctx, sqz_tape_backward(t));
    for (int k = 0; k < 4; k++) {
        float *x = sqz_tape_data(t, want[k]);
        double along = 0, length = 0; /* along the gradient itself, all numbers move at once */
        const size_t count = sqz_tape_count(t, want[k]);
        float *g = malloc(count * sizeof *g), *was = malloc(count * sizeof *was);
        memcpy(g, sqz_tape_grad(t, want[k]), count * sizeof *g);
        memcpy(was, x, count * sizeof *was);
        for (size_t i = 0; i < count; i++)
            length += (double)g[i] * (double)g[i];
        assert_true(length > 0);
        const float h = (float)(1e-2 / sqrt(length));
        for (int side = -1; side <= 1; side += 2) {
            for (size_t i = 0; i < count; i++)
                x[i] = was[i] + (float)side * h * g[i];
            along += side * weighted_sum(t, n.g, u) / (2 * (double)h);
        }
        memcpy(x, was, count * sizeof *was);
        /* some ReLUs turn within the step */
        if (fabs(along - length) > 0.02 * length)
            fail_msg("value %d: slope %g along the gradient, its square is %g", k, along, length);
        free(g);
        free(was);
    }
    sqz_tape_free(t);
    net_end(&n);
}

static void test_a_tape_computes_what_the_executor_does(void **state)
{
    (void)state;
    net n = make(6);
    sqz_vid want = sqz_graph_find(n.g, "c2.w");
    sqz_tape *t;
    sqz_exec *e;
    float y[4 * OUT];
    TEST_OK(n.ctx, sqz_graph_set_batch(n.g, 4));
    const sqz_tape_options o = {.want = &want, .n_want = 1, .seed = n.g->output, .n_seed = 1};
    TEST_OK(n.ctx, sqz_tape_create(n.g, &o, &t));
    TEST_OK(n.ctx, sqz_exec_create(n.g, 0, NULL, &e));
    const void *in = sqz_tape_data(t, n.g->input[0]);
    void *out = y;
    fill(&n, sqz_tape_data(t, n.g->input[0]), sqz_tape_count(t, n.g->input[0]));
    TEST_OK(n.ctx, sqz_tape_forward(t));
    TEST_OK(n.ctx, sqz_exec_run(e, &in, &out));
    for (size_t i = 0; i < 4 * OUT; i++)
        assert_true(fabsf(y[i] - sqz_tape_data(t, n.g->output[0])[i]) < 1e-4f);
    sqz_exec_free(e);
    sqz_tape_free(t);
    net_end(&n);
}

static void test_what_has_no_gradient_is_refused_by_name(void **state)
{
    (void)state;
    net n = net_begin(1);
    sqz_vid x = net_input(&n, (sqz_shape){2, {2, 4}});
    sqz_vid y = net_unary(&n, "round", "steps", "", x);
    net_finish(&n, 1, &y);
    sqz_tape *t;
    const sqz_tape_options o = {.want = &x, .n_want = 1, .seed = n.g->output, .n_seed = 1};
    TEST_FAILS(n.ctx, sqz_tape_create(n.g, &o, &t), SQZ_E_UNSUPPORTED,
               "node 'steps' (round): operator 'round' has no gradient");
    net_end(&n);
}

/* LSQ by its formula, on numbers below, inside and above of the grid. */
static void test_the_gradient_of_a_scale_is_lsq(void **state)
{
    (void)state;
    net n = net_begin(1);
    sqz_vid in[3];
    in[0] = net_input(&n, (sqz_shape){2, {1, 4}});
    in[1] = net_const(&n, "scale", (sqz_shape){1, {1}}, 1);
    in[2] = net_const(&n, "zero", (sqz_shape){1, {1}}, 1);
    net_numbers(&n, "scale")[0] = 0.5f;
    net_numbers(&n, "zero")[0] = -3;
    sqz_vid y = net_node(&n, "fake_quantize", "fq", "lo=-8 hi=7", 3, in);
    TEST_OK(n.ctx, sqz_graph_set_outputs(n.g, &y, 1));
    const float x[4] = {-100, 0.6f, 1.9f, 50}, g[4] = {1, 2, 3, 5};
    sqz_tape *t;
    const sqz_tape_options o = {.want = in, .n_want = 2, .seed = &y, .n_seed = 1};
    TEST_OK(n.ctx, sqz_tape_create(n.g, &o, &t));
    memcpy(sqz_tape_data(t, in[0]), x, sizeof x);
    TEST_OK(n.ctx, sqz_tape_forward(t));
    const float want_y[4] = {-2.5f, 0.5f, 2.0f, 5.0f};
    memcpy(sqz_tape_grad(t, y), g, sizeof g);
    TEST_OK(n.ctx, sqz_tape_backward(t));
    assert_memory_equal(sqz_tape_data(t, y), want_y, sizeof want_y);
    const float want_x[4] = {0, 2, 3, 0};
    assert_memory_equal(sqz_tape_grad(t, in[0]), want_x, sizeof want_x);
    const double want = 1 * (-8 + 3) + 2 * (1 - 1.2) + 3 * (4 - 3.8) + 5 * (7 + 3);
    assert_true(fabs((double)*sqz_tape_grad(t, in[1]) - want) < 1e-5);
    sqz_tape_free(t);
    net_end(&n);
}

/* ---- blocks ---- */

static void test_blocks_end_where_one_value_crosses(void **state)
{
    (void)state;
    net n = make(7);
    sqz_dataset ds = net_data(&n, 8);
    sqz_env env = {.calib = &ds};
    sqz_graph *reference;
    sqz_arena a = {.ctx = n.ctx};
    sqz_site *site;
    sqz_block *b;
    uint32_t n_site, count;
    TEST_OK(n.ctx, sqz_graph_clone(n.g, &reference));
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "calib,ptq", &env));
    TEST_OK(n.ctx, sqz_sites(reference, n.g, &a, &site, &n_site));
    TEST_OK(n.ctx, sqz_blocks_find(reference, site, n_site, 3, &a, &b, &count));
    assert_int_equal(n_site, 5);
    assert_int_equal(count, 3); /* c1 | c2 c3 sum | c4 fc */
    assert_int_equal(b[0].n_site, 1);
    assert_int_equal(b[1].n_site, 2);
    assert_int_equal(b[2].n_site, 2);
    assert_string_equal(sqz_nod(reference, b[1].begin)->name, "c2");
    assert_string_equal(sqz_nod(reference, b[2].begin)->name, "c4");
    TEST_OK(n.ctx, sqz_blocks_find(reference, site, n_site, 1, &a, &b, &count));
    assert_int_equal(count, 4); /* c4 | fc */
    sqz_arena_free(&a);
    sqz_graph_free(reference);
    net_data_free(&ds);
    net_end(&n);
}

/* ---- rounding ---- */

typedef struct result {
    float y[SAMPLES * OUT];
    uint64_t codes; /* hash of all constants */
} result;

static void outputs(const sqz_graph *g, sqz_dataset *ds, float *y)
{
    sqz_exec *e;
    _Alignas(64) float x[3 * 8 * 6], raw[3 * 8 * 6];
    const void *in = x;
    TEST_OK(g->ctx, sqz_exec_create(g, 1, NULL, &e));
    for (int64_t i = 0; i < ds->n; i++) {
        sqz_feed f;
        void *out = y + i * OUT;
        TEST_OK(g->ctx, sqz_feed_plan(g->ctx, ds, sqz_val(g, g->input[0]), NULL, &f));
        TEST_OK(g->ctx, sqz_data_read(ds, i, 1, raw, NULL));
        sqz_feed_apply(&f, 1, raw, x);
        TEST_OK(g->ctx, sqz_exec_run(e, &in, &out));
    }
    sqz_exec_free(e);
}

static sqz_ctx *ctx_of_threads(int threads)
{
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    sqz_ctx *ctx = NULL;
    o.threads = threads;
    assert_int_equal(sqz_ctx_create(&o, &ctx), SQZ_OK);
    return ctx;
}

/* The outputs of the network after a recipe; threads 0: as the tests have it. */
static void after(const char *recipe, int threads, uint64_t seed, result *out)
{
    net n = make(11);
    sqz_dataset ds = net_data(&n, SAMPLES);
    sqz_ctx *own = threads ? ctx_of_threads(threads) : NULL;
    sqz_env env = {.calib = &ds, .seed = seed};
    sqz_graph *g = n.g;
    g->ctx = own ? own : n.ctx;
    if (recipe)
        TEST_OK(g->ctx, sqz_run_recipe(g, recipe, &env));
    out->codes = 14695981039346656037u;
    for (sqz_vid v = 0; v < g->n_value; v++)
        for (size_t i = 0; sqz_val(g, v)->constant && i < sqz_val(g, v)->constant->bytes; i++)
            out->codes = (out->codes ^ ((unsigned char *)sqz_val(g, v)->constant->data)[i]) *
                         1099511628211u;
    outputs(g, &ds, out->y);
    g->ctx = n.ctx;
    net_data_free(&ds);
    net_end(&n);
    if (own)
        sqz_ctx_free(own);
}

static double error(const result *a, const result *b)
{
    double sum = 0;
    for (int i = 0; i < SAMPLES * OUT; i++)
        sum += pow((double)a->y[i] - (double)b->y[i], 2);
    return sum / (SAMPLES * OUT);
}

static void better(const char *ptq, const char *brecq, double factor)
{
    static result real, nearest, tuned;
    char recipe[256];
    after(NULL, 0, 1, &real);
    (void)snprintf(recipe, sizeof recipe, "calib,%s", ptq);
    after(recipe, 0, 1, &nearest);
    (void)snprintf(recipe, sizeof recipe, "calib,%s,%s", ptq, brecq);
    after(recipe, 0, 1, &tuned);
    if (!(error(&real, &tuned) < factor * error(&real, &nearest)))
        fail_msg("%s: error %g, before %g", recipe, error(&real, &tuned), error(&real, &nearest));
}

static void test_outputs_get_nearer_than_with_nearest_codes(void **state)
{
    (void)state;
    better("ptq(weights=4 edges=0)", "brecq(iterations=700 batch=16)", 0.8);
    better("ptq(weights=4 edges=0)", "brecq(iterations=400 batch=16 qdrop=0)", 0.8);
    better("ptq(weights=4 edges=0 activations=0)", "brecq(iterations=400 batch=16)", 0.8);
    better("ptq(weights=4 edges=0 activations=4)", "brecq(iterations=700 batch=16)", 0.95);
    better("ptq(weights=4 edges=0 activations=4)", "brecq(iterations=700 batch=16 learn=1)", 0.95);
}

static void test_same_codes_again_and_for_any_number_of_threads(void **state)
{
    (void)state;
    static const char recipe[] = "calib,ptq(weights=4 edges=0 activations=4),"
                                 "brecq(iterations=20 batch=16 learn=1)";
    static result a, b, c;
    after(recipe, 0, 1, &a);
    after(recipe, 1, 1, &b);
    after(recipe, 3, 1, &c);
    assert_true(a.codes == b.codes && a.codes == c.codes);
    assert_memory_equal(a.y, b.y, sizeof a.y);
    assert_memory_equal(a.y, c.y, sizeof a.y);
    after(recipe, 0, 2, &c);
    assert_true(a.codes != c.codes); /* another seed drops other elements */
}

/* Rounding goes up or down, nowhere else. */
static void test_codes_are_neighbors_of_the_weights(void **state)
{
    (void)state;
    net n = make(13);
    sqz_dataset ds = net_data(&n, 16);
    sqz_env env = {.calib = &ds};
    sqz_graph *reference;
    sqz_arena a = {.ctx = n.ctx};
    sqz_site *site;
    uint32_t n_site;
    size_t other = 0, all = 0;
    TEST_OK(n.ctx, sqz_graph_clone(n.g, &reference));
    TEST_OK(n.ctx, sqz_run_recipe(n.g,
                                  "calib,ptq(weights=4 ranges=minmax edges=0),"
                                  "brecq(iterations=60 batch=8)",
                                  &env));
    TEST_OK(n.ctx, sqz_sites(reference, n.g, &a, &site, &n_site));
    for (uint32_t k = 0; k < n_site; k++) {
        const size_t count = site[k].rows * site[k].cols;
        float *w = sqz_arena_alloc(&a, count, 4), *s = sqz_arena_alloc(&a, count, 4);
        int32_t *z = sqz_arena_alloc(&a, count, 4);
        int8_t *c = sqz_arena_alloc(&a, count, 1);
        TEST_OK(n.ctx, sqz_site_weights(reference, &site[k], w));
        TEST_OK(n.ctx, sqz_site_codes(n.g, &site[k], c));
        TEST_OK(n.ctx, sqz_site_grid(n.g, &site[k], s, z));
        for (size_t i = 0; i < count; i++) {
            assert_true(fabsf(w[i] / s[i] - (float)c[i]) < 1.001f);
            other += (float)c[i] != rintf(w[i] / s[i]);
        }
        all += count;
    }
    assert_true(other > 0 && other < all / 2);
    sqz_arena_free(&a);
    sqz_graph_free(reference);
    net_data_free(&ds);
    net_end(&n);
}

/* Layers behind which nothing can be learned stay as they are, and the notes say which. */
static void test_a_block_without_gradients_keeps_its_codes(void **state)
{
    (void)state;
    net n = net_begin(19);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 8, 6}});
    sqz_vid y = net_unary(&n, "round", "steps", "", net_conv(&n, "c1", x, 4, 3));
    net_finish(&n, 1, &y);
    sqz_dataset ds = net_data(&n, 8);
    sqz_str notes = {.ctx = n.ctx};
    sqz_env env = {.calib = &ds, .notes = &notes};
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "calib,ptq,brecq(iterations=5)", &env));
    assert_non_null(strstr(notes.data, "the block from 'c1' on keeps its codes: node 'steps' "
                                       "(round): operator 'round' has no gradient"));
    sqz_str_free(&notes);
    net_data_free(&ds);
    net_end(&n);
}

static void test_what_is_missing_is_said(void **state)
{
    (void)state;
    net n = make(17);
    sqz_dataset ds = net_data(&n, 8);
    sqz_env env = {.calib = &ds};
    TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "calib,brecq", &env), SQZ_E_ARG, "brecq");
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "calib,ptq", &env));
    env.calib = NULL;
    TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "brecq", &env), SQZ_E_ARG, "brecq");
    TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "brecq(iterations=0)", &env), SQZ_E_ARG, "iterations");
    net_data_free(&ds);
    net_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_of_a_network_are_its_differences),
        cmocka_unit_test(test_a_tape_computes_what_the_executor_does),
        cmocka_unit_test(test_what_has_no_gradient_is_refused_by_name),
        cmocka_unit_test(test_the_gradient_of_a_scale_is_lsq),
        cmocka_unit_test(test_blocks_end_where_one_value_crosses),
        cmocka_unit_test(test_outputs_get_nearer_than_with_nearest_codes),
        cmocka_unit_test(test_same_codes_again_and_for_any_number_of_threads),
        cmocka_unit_test(test_codes_are_neighbors_of_the_weights),
        cmocka_unit_test(test_a_block_without_gradients_keeps_its_codes),
        cmocka_unit_test(test_what_is_missing_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
