/* Graphs: names, order, uses, clones, batch, folding. */
#include "ir/op.h"
#include "sqz_test.h"

static sqz_vid add_input(sqz_graph *g, const char *name, sqz_shape s)
{
    sqz_vid v;
    TEST_OK(g->ctx, sqz_graph_input(g, name, SQZ_F32, &s, &v));
    return v;
}

static sqz_vid add_relu(sqz_graph *g, const char *name, sqz_vid x, sqz_nid before)
{
    sqz_vid y;
    TEST_OK(g->ctx, sqz_graph_node_text(g, "relu", name, "", &x, 1, before, &y));
    return y;
}

static sqz_vid add_const(sqz_graph *g, const char *name, sqz_shape s, double first)
{
    sqz_tensor t;
    sqz_vid v;
    TEST_OK(g->ctx, sqz_tensor_alloc(g->ctx, SQZ_F32, &s, &t));
    for (size_t i = 0; i < t.count; i++)
        sqz_tensor_set_f64(&t, i, first + (double)i);
    TEST_OK(g->ctx, sqz_graph_constant(g, name, &t, &v));
    assert_null(t.data); /* taken over */
    return v;
}

static sqz_graph *new_graph(sqz_ctx *ctx)
{
    sqz_graph *g = NULL;
    TEST_OK(ctx, sqz_graph_create(ctx, &g));
    return g;
}

static void test_names_stay_unique_and_are_found(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = new_graph(ctx);
    sqz_vid a = add_input(g, "x", (sqz_shape){1, {4}}), b = add_input(g, "x", (sqz_shape){1, {4}});
    assert_string_equal(sqz_val(g, a)->name, "x");
    assert_string_equal(sqz_val(g, b)->name, "x_1");
    assert_int_equal(sqz_graph_find(g, "x_1"), b);
    assert_int_equal(sqz_graph_find(g, "y"), SQZ_NONE);
    TEST_FAILS(ctx, sqz_graph_rename(g, b, "x"), SQZ_E_ARG, "taken");
    TEST_OK(ctx, sqz_graph_rename(g, b, "y"));
    assert_int_equal(sqz_graph_find(g, "x_1"), SQZ_NONE);
    assert_int_equal(sqz_graph_find(g, "y"), b);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

/* Thousands of equal and removed names against a plain array. */
static void test_name_map_survives_growth_and_removal(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = new_graph(ctx);
    sqz_rng r = {.seed = 3};
    sqz_vid id[2000];
    bool alive[2000];
    for (int i = 0; i < 2000; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "v%d", i % 500);
        id[i] = add_const(g, name, (sqz_shape){1, {1}}, i);
        alive[i] = true;
        int k = (int)sqz_rng_below(&r, (uint64_t)i + 1);
        if (i % 3 == 0 && alive[k]) {
            sqz_graph_remove_value(g, id[k]);
            alive[k] = false;
        }
    }
    for (int i = 0; i < 2000; i++) {
        sqz_vid found = sqz_graph_find(g, sqz_val(g, id[i])->name);
        assert_true(alive[i] ? found == id[i] : found != id[i]);
    }
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_nodes_keep_the_order_they_are_put_in(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = new_graph(ctx);
    sqz_vid x = add_input(g, "x", (sqz_shape){2, {1, 4}});
    sqz_vid a = add_relu(g, "a", x, SQZ_NONE), c = add_relu(g, "c", a, SQZ_NONE);
    sqz_nid nc = sqz_val(g, c)->producer;
    sqz_vid b = add_relu(g, "b", a, nc);
    sqz_nod(g, nc)->in[0] = b;
    TEST_OK(ctx, sqz_graph_set_outputs(g, &c, 1));
    const char *want[] = {"a", "b", "c"};
    int i = 0;
    SQZ_EACH_NODE(g, n) assert_string_equal(sqz_nod(g, n)->name, want[i++]);
    assert_int_equal(i, 3);
    TEST_OK(ctx, sqz_graph_verify(g));

    sqz_arena arena = {.ctx = ctx};
    sqz_uses u;
    TEST_OK(ctx, sqz_uses_build(g, &arena, &u));
    assert_int_equal(sqz_n_uses(&u, c), 1);
    assert_int_equal(u.node[u.first[c]], SQZ_NONE);
    assert_int_equal(u.node[u.first[b]], nc);

    sqz_graph_replace_uses(g, b, a);
    sqz_graph_remove(g, sqz_val(g, b)->producer);
    assert_int_equal(sqz_graph_find(g, "b_out"), SQZ_NONE);
    TEST_OK(ctx, sqz_graph_verify(g));
    sqz_arena_free(&arena);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_clones_share_numbers_until_replaced(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = new_graph(ctx), *h = NULL;
    sqz_vid x = add_input(g, "x", (sqz_shape){2, {1, 4}});
    sqz_vid w = add_const(g, "w", (sqz_shape){1, {3}}, 5);
    sqz_vid y = add_relu(g, "a", x, SQZ_NONE);
    float scale[2] = {0.5f, 0.25f};
    int32_t zero[2] = {0, 1};
    TEST_OK(ctx, sqz_value_set_quant(g, y, SQZ_S8, -1, 1, scale, zero));
    TEST_OK(ctx, sqz_graph_set_outputs(g, &y, 1));
    TEST_OK(ctx, sqz_graph_add_meta(g, "author", "me"));
    TEST_OK(ctx, sqz_graph_clone(g, &h));
    TEST_OK(ctx, sqz_graph_verify(h));
    assert_ptr_equal(sqz_val(h, w)->constant->data, sqz_val(g, w)->constant->data);
    assert_int_equal(sqz_graph_find(h, "a_out"), y);
    assert_true(sqz_val(h, y)->quant != sqz_val(g, y)->quant);
    assert_true(sqz_val(h, y)->quant->scale[0] == 0.5f);
    assert_string_equal(sqz_graph_get_meta(h, "author"), "me");

    sqz_tensor t;
    sqz_shape two = {1, {2}};
    TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_F32, &two, &t));
    TEST_OK(ctx, sqz_value_set_constant(h, w, &t));
    assert_true(sqz_tensor_f64(sqz_val(g, w)->constant, 2) == 7);
    assert_int_equal(sqz_val(h, w)->shape.dim[0], 2);
    sqz_graph_free(g); /* the clone outlives its origin */
    assert_int_equal(sqz_val(h, x)->shape.dim[1], 4);
    sqz_graph_free(h);
    sqz_ctx_free(ctx);
}

static void test_grids_must_have_positive_finite_scales(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = new_graph(ctx);
    sqz_vid x = add_input(g, "x", (sqz_shape){2, {1, 4}});
    int32_t zero = 0;
    float bad[] = {0.0f, -1.0f, NAN, INFINITY};
    for (int i = 0; i < 4; i++)
        TEST_FAILS(ctx, sqz_value_set_quant(g, x, SQZ_S8, -1, 1, &bad[i], &zero), SQZ_E_ARG, "'x'");
    TEST_FAILS(ctx, sqz_value_set_quant(g, x, SQZ_S8, -1, 0, bad, &zero), SQZ_E_ARG, "scale");
    assert_null(sqz_val(g, x)->quant);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_batch_changes_every_shape_or_none(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = new_graph(ctx);
    sqz_vid x = add_input(g, "x", (sqz_shape){2, {1, 4}});
    sqz_vid y = add_relu(g, "a", x, SQZ_NONE), w = add_const(g, "w", (sqz_shape){2, {1, 4}}, 0);
    sqz_vid fixed = add_relu(g, "b", w, SQZ_NONE);
    TEST_OK(ctx, sqz_graph_set_outputs(g, &y, 1));
    TEST_OK(ctx, sqz_graph_set_batch(g, 7));
    assert_int_equal(sqz_val(g, y)->shape.dim[0], 7);
    TEST_OK(ctx, sqz_graph_set_batch(g, 1));
    sqz_vid both[2] = {y, fixed}; /* the second does not depend on the input */
    TEST_OK(ctx, sqz_graph_set_outputs(g, both, 2));
    TEST_FAILS(ctx, sqz_graph_set_batch(g, 2), SQZ_E_SHAPE, "b_out");
    assert_int_equal(sqz_val(g, x)->shape.dim[0], 1);
    assert_int_equal(sqz_val(g, y)->shape.dim[0], 1);
    TEST_FAILS(ctx, sqz_graph_set_batch(g, 0), SQZ_E_ARG, "batch 0");
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_wrong_nodes_are_refused_by_name(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = new_graph(ctx);
    sqz_vid x = add_input(g, "x", (sqz_shape){2, {1, 4}}), none = SQZ_NONE, y;
    sqz_vid two[2] = {x, x};
    TEST_FAILS(ctx, sqz_graph_node_text(g, "relu", "r", "", two, 2, SQZ_NONE, &y), SQZ_E_ARG,
               "node 'r' (relu)");
    TEST_FAILS(ctx, sqz_graph_node_text(g, "relu", "r", "", &none, 1, SQZ_NONE, &y), SQZ_E_ARG,
               "input 0 is missing");
    TEST_FAILS(ctx, sqz_graph_node_text(g, "rellu", "r", "", &x, 1, SQZ_NONE, &y), SQZ_E_NOTFOUND,
               "rellu");
    assert_int_equal(g->first, SQZ_NONE);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_constant_chains_fold_in_place(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = new_graph(ctx);
    sqz_vid x = add_input(g, "x", (sqz_shape){1, {4}});
    sqz_vid w = add_const(g, "w", (sqz_shape){1, {4}}, -2);
    sqz_vid a = add_relu(g, "a", w, SQZ_NONE), b = add_relu(g, "b", a, SQZ_NONE);
    sqz_vid c = add_relu(g, "c", x, SQZ_NONE);
    TEST_OK(ctx, sqz_fold_value(g, c)); /* depends on the input: nothing happens */
    assert_null(sqz_val(g, c)->constant);
    TEST_OK(ctx, sqz_fold_value(g, b));
    assert_non_null(sqz_val(g, b)->constant);
    for (size_t i = 0; i < 4; i++)
        assert_true(sqz_tensor_f64(sqz_val(g, b)->constant, i) == (i == 3 ? 1.0 : 0.0));
    assert_int_equal(sqz_graph_find(g, "b_out"), b);
    TEST_OK(ctx, sqz_graph_set_outputs(g, &b, 1));
    TEST_OK(ctx, sqz_graph_verify(g));
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

/* Every allocation of building and cloning fails once; nothing leaks, nothing crashes. */
struct countdown {
    int left;
};
static void *scarce_alloc(void *user, size_t n)
{
    struct countdown *c = user;
    return c->left-- > 0 ? malloc(n) : NULL;
}
static void scarce_free(void *user, void *p)
{
    (void)user;
    free(p);
}
static sqz_status build_and_clone(sqz_ctx *ctx)
{
    sqz_graph *g = NULL, *h = NULL;
    sqz_shape s = {2, {1, 4}};
    sqz_vid x, y, w;
    sqz_tensor t;
    sqz_status st = sqz_graph_create(ctx, &g);
    if (st == SQZ_OK)
        st = sqz_graph_input(g, "x", SQZ_F32, &s, &x);
    if (st == SQZ_OK)
        st = sqz_tensor_alloc(ctx, SQZ_F32, &s, &t);
    if (st == SQZ_OK)
        st = sqz_graph_constant(g, "w", &t, &w);
    if (st == SQZ_OK)
        st = sqz_graph_node_text(g, "relu", NULL, "", &w, 1, SQZ_NONE, &y);
    if (st == SQZ_OK)
        st = sqz_graph_set_outputs(g, &y, 1);
    if (st == SQZ_OK)
        st = sqz_graph_clone(g, &h);
    if (st == SQZ_OK)
        st = sqz_fold_value(h, y);
    sqz_graph_free(h);
    sqz_graph_free(g);
    return st;
}
static void test_every_failing_allocation_is_survived(void **state)
{
    (void)state;
    for (int n = 0;; n++) {
        struct countdown c = {1000};
        sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
        sqz_ctx *ctx;
        o.allocator.user = &c;
        o.allocator.alloc = scarce_alloc;
        o.allocator.free = scarce_free;
        o.threads = 1;
        assert_int_equal(sqz_ctx_create(&o, &ctx), SQZ_OK);
        c.left = n;
        sqz_status st = build_and_clone(ctx);
        sqz_ctx_free(ctx); /* asserts that nothing is left */
        if (st == SQZ_OK) {
            assert_true(n > TEST_ALLOCATIONS(30));
            return;
        }
        assert_int_equal(st, SQZ_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_stay_unique_and_are_found),
        cmocka_unit_test(test_name_map_survives_growth_and_removal),
        cmocka_unit_test(test_nodes_keep_the_order_they_are_put_in),
        cmocka_unit_test(test_clones_share_numbers_until_replaced),
        cmocka_unit_test(test_grids_must_have_positive_finite_scales),
        cmocka_unit_test(test_batch_changes_every_shape_or_none),
        cmocka_unit_test(test_wrong_nodes_are_refused_by_name),
        cmocka_unit_test(test_constant_chains_fold_in_place),
        cmocka_unit_test(test_every_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
