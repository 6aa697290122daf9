/* The layout pass: what it moves, what it leaves, and that nothing it does changes a number. */
#include "eval.h"
#include "ir/pass.h"

static sqz_graph *parse(sqz_ctx *ctx, const char *text)
{
    sqz_graph *g = NULL;
    TEST_OK(ctx, sqz_graph_parse(ctx, text, &g));
    return g;
}

static bool is_op(const sqz_node *n, const char *op) { return strcmp(n->op->info.name, op) == 0; }

static bool is_view(const sqz_node *n)
{
    return is_op(n, "transpose") && *(const int64_t *)eval_opt(n, "view");
}

/* Transposes, and how many of them move nothing. */
static unsigned count(const sqz_graph *g, unsigned *views)
{
    unsigned n = 0;
    *views = 0;
    SQZ_EACH_NODE(g, id)
    {
        n += is_op(sqz_nod(g, id), "transpose");
        *views += is_view(sqz_nod(g, id));
    }
    return n;
}

/* Runs the pass; checks that the graph still computes the same and that it has `moving` transposes
 * that move bytes. */
static sqz_graph *laid_out_once(sqz_ctx *ctx, const char *text, unsigned moving)
{
    sqz_graph *g = parse(ctx, text), *h = NULL;
    unsigned views;
    TEST_OK(ctx, sqz_graph_clone(g, &h));
    TEST_OK(ctx, sqz_run_recipe(h, "layout,dce", NULL));
    eval_same(g, h, 1, 2e-6);
    unsigned n = count(h, &views);
    assert_int_equal(n - views, moving);
    sqz_graph_free(g);
    return h;
}

/* The same, and again at another batch. */
static sqz_graph *laid_out(sqz_ctx *ctx, const char *text, unsigned moving)
{
    sqz_graph *g = parse(ctx, text), *h = laid_out_once(ctx, text, moving);
    TEST_OK(ctx, sqz_graph_set_batch(g, 3));
    TEST_OK(ctx, sqz_graph_set_batch(h, 3));
    eval_same(g, h, 2, 2e-6);
    sqz_graph_free(g);
    return h;
}

#define CONST_W "const w f32 2x3x1x1 = 0.5 -1 0.25 1 2 3\n"

static void test_a_residual_block_has_transposes_only_at_its_end(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = laid_out(ctx,
                            "graph \"\"\ninput x f32 1x2x4x3\n"
                            "const w f32 2x2x1x1 = 1 2 3 4\n"
                            "a = conv2d(x, w)\nb = relu(a)\nc = conv2d(b, w)\nd = add(c, x)\n"
                            "e = relu(d)\noutput e\n",
                            1);
    assert_true(sqz_val(g, g->input[0])->channel_last);
    const sqz_value *out = sqz_val(g, g->output[0]);
    assert_false(out->channel_last);
    assert_string_equal(sqz_val(g, out->twin)->name, "e");
    assert_string_equal(sqz_value_file_name(g, g->output[0]), "e");
    assert_true(sqz_nod(g, out->producer)->layout);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_graphs_without_convolutions_stay_as_they_are(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = laid_out(ctx,
                            "graph \"\"\ninput x f32 1x2x4x3\n"
                            "a = relu(x)\nb = concat(a, x) axis=1\nc = reshape(b) shape=0,-1\n"
                            "output c, b\n",
                            0);
    for (sqz_vid v = 0; v < g->n_value; v++)
        assert_false(sqz_val(g, v)->channel_last);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_one_twin_serves_every_user(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = laid_out(ctx,
                            "graph \"\"\ninput x f32 1x3x4x3\n" CONST_W "a = conv2d(x, w)\n"
                            "b = reshape(a) shape=0,-1\nc = flatten(a)\noutput a, b, c\n",
                            1);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_constants_broadcast_in_the_new_layout(void **state)
{
    (void)state;
    static const char *const shape[] = {
        "2x1x1 = 3 -4",
        "1x2x1x1 = 3 -4",
        "1 = 7",
        "scalar = 7",
        "3 = 1 2 3",
        "4x1 = 1 2 3 4",
        "2x4x3 = 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4"};
    sqz_ctx *ctx = test_ctx();
    for (size_t i = 0; i < SQZ_COUNT(shape); i++) {
        char text[600];
        (void)snprintf(text, sizeof text,
                       "graph \"\"\ninput x f32 1x3x4x3\n" CONST_W "const k f32 %s\n"
                       "a = conv2d(x, w)\nb = mul(a, k)\nc = sub(k, b)\noutput c\n",
                       shape[i]);
        sqz_graph *g = laid_out(ctx, text, 1);
        assert_true(sqz_graph_find(g, "k") != SQZ_NONE); /* it keeps its name */
        sqz_graph_free(g);
    }
    sqz_ctx_free(ctx);
}

static void test_a_constant_of_both_layouts_is_copied(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = laid_out_once(
        ctx,
        "graph \"\"\ninput x f32 1x3x4x2\n"
        "const w f32 1x3x4x2 = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 "
        "20 21 22 23 24\n"
        "a = conv2d(x, w)\nb = add(x, w)\nr = reshape(w) shape=2,-1\n"
        "output a, b, r\n",
        2);
    sqz_vid w = sqz_graph_find(g, "w"), last = sqz_graph_find(g, "w_last");
    assert_false(sqz_val(g, w)->channel_last);
    assert_true(sqz_val(g, last)->channel_last);
    assert_int_equal(sqz_val(g, last)->twin, w);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

/* The file's copy has no user any more: the other one takes its name. */
static void test_dead_originals_leave_their_name(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = laid_out(ctx,
                            "graph \"\"\ninput x f32 1x3x4x3\n" CONST_W
                            "a = conv2d(x, w)\nr = reshape(w) shape=2,-1\nq = relu(r)\noutput a\n",
                            1);
    sqz_vid w = sqz_graph_find(g, "w");
    assert_true(w != SQZ_NONE && sqz_val(g, w)->channel_last && sqz_val(g, w)->twin == SQZ_NONE);
    assert_int_equal(sqz_graph_find(g, "w_last"), SQZ_NONE);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_axes_are_renumbered(void **state)
{
    (void)state;
    static const char *const line[] = {"b = concat(a, a) axis=-3",
                                       "b = concat(a, a) axis=2",
                                       "b = softmax(a) axis=1",
                                       "b = softmax(a) axis=-1",
                                       "b = pad(a) pads=0,1,2,0,0,0,1,3 value=2",
                                       "b = slice(a) starts=1,0 ends=4,2 axes=2,-1",
                                       "b, c = split(a) axis=1",
                                       "b = reduce_mean(a) axes=2,3 keepdims=1",
                                       "b = reduce_mean(a) axes=2,3 keepdims=0",
                                       "b = reduce_sum(a) axes=-1 keepdims=0",
                                       "b = reduce_max(a) axes=1 keepdims=0",
                                       "b = reduce_mean(a) axes=0,2 keepdims=0",
                                       "b = reduce_mean(a) axes=1,3 keepdims=0"};
    sqz_ctx *ctx = test_ctx();
    for (size_t i = 0; i < SQZ_COUNT(line); i++) {
        char text[400];
        (void)snprintf(text, sizeof text,
                       "graph \"\"\ninput x f32 1x3x4x3\n" CONST_W "a = conv2d(x, w)\n%s\n"
                       "output b, a\n",
                       line[i]);
        sqz_graph *g = parse(ctx, text), *h = NULL;
        TEST_OK(ctx, sqz_graph_clone(g, &h));
        TEST_OK(ctx, sqz_run_recipe(h, "layout", NULL));
        eval_same(g, h, 3, 2e-6);
        sqz_graph_free(g);
        sqz_graph_free(h);
    }
    sqz_ctx_free(ctx);
}

/* What tf2onnx writes around channel-last convolutions costs nothing. */
static void test_transposes_of_the_file_become_views(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = laid_out(ctx,
                            "graph \"\"\ninput x f32 1x4x3x3\n" CONST_W
                            "const k f32 2 = 0.5 -0.25\n"
                            "a = transpose(x) @in perm=0,3,1,2\nb = conv2d(a, w)\n"
                            "c = transpose(b) @out perm=0,2,3,1\nd = add(c, k)\ne = relu(d)\n"
                            "f = reshape(e) shape=0,-1\noutput f\n",
                            0);
    unsigned views;
    assert_int_equal(count(g, &views), 2); /* they are still there for the exporter */
    assert_false(sqz_val(g, g->input[0])->channel_last);
    sqz_graph_free(g);
    g = laid_out(ctx,
                 "graph \"\"\ninput x f32 1x3x5\nconst w f32 2x3x1 = 0.5 -1 0.25 1 2 3\n"
                 "a = conv2d(x, w)\nb = transpose(a) perm=0,2,1\nc = relu(b)\noutput c\n",
                 0);
    sqz_graph_free(g);
    g = laid_out(ctx, /* not the one between the layouts */
                 "graph \"\"\ninput x f32 1x3x5x4\n" CONST_W
                 "a = conv2d(x, w)\nb = transpose(a) perm=0,1,3,2\noutput b\n",
                 2);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_what_broadcasts_unevenly_stays_in_the_files_layout(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = laid_out_once(ctx,
                                 "graph \"\"\ninput x f32 1x3x4x3\ninput y f32 1x4x3\n" CONST_W
                                 "a = conv2d(x, w)\nb = add(a, y)\nc = relu(b)\noutput c\n",
                                 1);
    sqz_nid add = sqz_val(g, sqz_graph_find(g, "b"))->producer;
    assert_false(sqz_val(g, sqz_nod(g, add)->in[0])->channel_last);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_grids_follow_their_axis(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = parse(ctx, "graph \"\"\ninput x f32 1x3x4x3\n"
                              "const w f32 2x3x1x1 quant s8 axis=1 group=0 [1@0 2@0 3@0] = 1 2 3 4 "
                              "5 6\n"
                              "a = conv2d(x, w)\noutput a\n");
    TEST_OK(ctx, sqz_run_recipe(g, "layout,layout", NULL)); /* twice is once */
    assert_int_equal(sqz_val(g, sqz_graph_find(g, "w"))->quant->axis, 3);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

/* ---- random graphs ---- */

static const char *const unary[] = {"relu", "sigmoid", "identity", "abs"};
static const char *const moves[][2] = {{"pad", "pads=0,1,0,1,0,0,1,0"},
                                       {"slice", "starts=1 ends=100 axes=2"},
                                       {"softmax", "axis=1"},
                                       {"softmax", "axis=3"},
                                       {"transpose", "perm=0,2,3,1"},
                                       {"transpose", "perm=0,3,1,2"},
                                       {"transpose", "perm=0,2,1,3"},
                                       {"reduce_mean", "axes=2,3 keepdims=1"},
                                       {"reduce_mean", "axes=1 keepdims=1"},
                                       {"max_pool", "kernel_shape=2,2"},
                                       {"reshape", "shape=0,0,-1,1"},
                                       {"reduce_max", "axes=3 keepdims=0"}};

static sqz_vid random_const(sqz_graph *g, sqz_rng *r, sqz_shape s)
{
    sqz_tensor t;
    sqz_vid v;
    TEST_OK(g->ctx, sqz_tensor_alloc(g->ctx, SQZ_F32, &s, &t));
    for (size_t i = 0; i < t.count; i++)
        SQZ_F32P(&t)[i] = (float)(sqz_rng_uniform(r) - 0.5);
    TEST_OK(g->ctx, sqz_graph_constant(g, "k", &t, &v));
    return v;
}

/* One more node on a random earlier value; what does not fit is refused and left out. */
static sqz_status grow(sqz_graph *g, sqz_rng *r, const sqz_vid *have, unsigned n, sqz_vid *out)
{
    sqz_vid in[2] = {have[sqz_rng_below(r, n)], have[sqz_rng_below(r, n)]};
    const sqz_shape *x = &sqz_val(g, in[0])->shape;
    sqz_shape s = {.rank = 4, .dim = {1 + (int64_t)sqz_rng_below(r, 3), x->dim[1], 1, 1}};
    const char *op, *attrs = "";
    unsigned n_in = 1, k;
    switch (sqz_rng_below(r, 6)) {
    case 0:
        if (x->rank != 4)
            return SQZ_E_SHAPE;
        op = "conv2d";
        s.dim[2] = 1 + (int64_t)sqz_rng_below(r, 2);
        in[1] = random_const(g, r, s);
        n_in = 2;
        break;
    case 1:
        op = sqz_rng_below(r, 2) ? "add" : "mul";
        n_in = 2;
        break;
    case 2: /* with a constant: of each channel, of each column, or one number */
        k = (unsigned)sqz_rng_below(r, 3);
        if (x->rank < 3)
            return SQZ_E_SHAPE;
        s = k == 0   ? (sqz_shape){3, {x->dim[1], 1, 1}}
            : k == 1 ? (sqz_shape){1, {x->dim[x->rank - 1]}}
                     : (sqz_shape){.rank = 0};
        op = "mul";
        in[1] = random_const(g, r, s);
        n_in = 2;
        break;
    case 3:
        op = "concat";
        attrs = sqz_rng_below(r, 2) ? "axis=1" : "axis=-1";
        n_in = 2;
        break;
    case 4: op = unary[sqz_rng_below(r, SQZ_COUNT(unary))]; break;
    default:
        k = (unsigned)sqz_rng_below(r, SQZ_COUNT(moves));
        op = moves[k][0];
        attrs = moves[k][1];
        break;
    }
    return sqz_graph_node_text(g, op, NULL, attrs, in, n_in, SQZ_NONE, out);
}

static size_t elements(const sqz_graph *g, sqz_vid v)
{
    size_t n = 0;
    TEST_OK(g->ctx, sqz_shape_count(g->ctx, &sqz_val(g, v)->shape, SQZ_F32, &n, NULL));
    return n;
}

static void test_random_graphs_compute_the_same(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    unsigned turned = 0, views = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        sqz_rng r = {.seed = seed};
        sqz_graph *g = NULL, *h = NULL;
        sqz_shape s = {4, {1, 2, 3, 4}};
        sqz_vid have[24], v;
        unsigned n = 1;
        TEST_OK(ctx, sqz_graph_create(ctx, &g));
        TEST_OK(ctx, sqz_graph_input(g, "x", SQZ_F32, &s, &have[0]));
        for (int tries = 0; tries < 60 && n < SQZ_COUNT(have); tries++)
            if (grow(g, &r, have, n, &v) == SQZ_OK && elements(g, v) > 0 && elements(g, v) < 5000)
                have[n++] = v;
        TEST_OK(ctx, sqz_graph_set_outputs(g, have + (n > 3 ? n - 3 : 0), SQZ_MIN(n, 3)));
        TEST_OK(ctx, sqz_graph_verify(g));
        TEST_OK(ctx, sqz_graph_clone(g, &h));
        sqz_status st = sqz_run_recipe(h, "layout,dce", NULL);
        if (st != SQZ_OK)
            fail_msg("seed %llu: %s", (unsigned long long)seed, sqz_last_error(ctx));
        eval_same(g, h, seed, 1e-5);
        SQZ_EACH_NODE(h, id)
        {
            const sqz_node *nd = sqz_nod(h, id);
            turned += sqz_val(h, nd->out[0])->channel_last;
            views += is_view(nd);
        }
        sqz_graph_free(g);
        sqz_graph_free(h);
    }
    assert_true(turned > 500 && views > 30); /* the claim is not an empty one */
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_residual_block_has_transposes_only_at_its_end),
        cmocka_unit_test(test_graphs_without_convolutions_stay_as_they_are),
        cmocka_unit_test(test_one_twin_serves_every_user),
        cmocka_unit_test(test_constants_broadcast_in_the_new_layout),
        cmocka_unit_test(test_a_constant_of_both_layouts_is_copied),
        cmocka_unit_test(test_dead_originals_leave_their_name),
        cmocka_unit_test(test_axes_are_renumbered),
        cmocka_unit_test(test_transposes_of_the_file_become_views),
        cmocka_unit_test(test_what_broadcasts_unevenly_stays_in_the_files_layout),
        cmocka_unit_test(test_grids_follow_their_axis),
        cmocka_unit_test(test_random_graphs_compute_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
