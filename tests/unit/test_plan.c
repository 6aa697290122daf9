/* test_plan.c: memory plans and planned runs on random graphs. */
#include "exec/exec.h"
#include "sqz_test.h"

/* Joins a and b along the channels, doubles the result in place, and cuts it again. */
static void join_and_cut(sqz_graph *g, sqz_vid a, sqz_vid b, sqz_vid out[2])
{
    static const char *const fresh[2] = {NULL, NULL};
    sqz_vid whole, in[2] = {a, b};
    struct {
        int64_t axis;
        sqz_ints split;
    } cut = {.axis = 1};
    TEST_OK(g->ctx, sqz_graph_node_text(g, "concat", NULL, "axis=1", in, 2, SQZ_NONE, &whole));
    TEST_OK(g->ctx, sqz_graph_node_text(g, "neg", NULL, "", &whole, 1, SQZ_NONE, &whole));
    TEST_OK(g->ctx, sqz_graph_node(g, sqz_op_find("split"), NULL, &cut, &whole, 1, fresh, 2,
                                   SQZ_NONE, out));
}

/* A random graph of elementwise operators, with residuals, views, joined and cut values and several
 * outputs. */
static sqz_graph *random_graph(sqz_ctx *ctx, sqz_rng *r, int n_node)
{
    sqz_graph *g;
    sqz_vid v[64];
    unsigned n = 0;
    const sqz_shape s = {4, {1, 4, 4, 4}};
    TEST_OK(ctx, sqz_graph_create(ctx, &g));
    TEST_OK(ctx, sqz_graph_input(g, "x", SQZ_F32, &s, &v[n++]));
    for (int i = 0; i < n_node; i++) {
        static const char *const unary[] = {"relu", "sigmoid", "tanh", "identity"};
        sqz_vid in[2] = {v[n - 1 - sqz_rng_below(r, SQZ_MIN(n, 4))], v[sqz_rng_below(r, n)]};
        if (sqz_rng_below(r, 6) == 0) {
            join_and_cut(g, in[0], in[1], &v[n]);
            n += 2;
        } else if (sqz_rng_below(r, 3) == 0)
            TEST_OK(ctx, sqz_graph_node_text(g, sqz_rng_below(r, 2) ? "add" : "mul", NULL, "", in,
                                             2, SQZ_NONE, &v[n++]));
        else
            TEST_OK(ctx, sqz_graph_node_text(g, unary[sqz_rng_below(r, 4)], NULL, "", in, 1,
                                             SQZ_NONE, &v[n++]));
    }
    sqz_vid out[2] = {v[n - 1], v[1 + sqz_rng_below(r, n - 1)]};
    TEST_OK(ctx, sqz_graph_set_outputs(g, out, 2));
    TEST_OK(ctx, sqz_graph_verify(g));
    return g;
}

static uint32_t root(const sqz_plan *p, uint32_t i)
{
    while (p->item[i].alias != SQZ_NONE)
        i = p->item[i].alias;
    return i;
}

static void test_live_memory_never_overlaps(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = 7};
    size_t parts = 0;
    for (int round = 0; round < 200; round++) {
        sqz_graph *g = random_graph(ctx, &r, 2 + (int)sqz_rng_below(&r, 30));
        const sqz_plan_options o = {
            .alignment = 16, .in_place = round & 1, .io_in_arena = (round & 2) != 0};
        sqz_plan *p;
        TEST_OK(ctx, sqz_plan_build(g, &o, &p));
        for (uint32_t i = 0; i < p->n_item; i++) {
            assert_true(p->item[i].offset % 16 == 0);
            assert_true(p->item[i].offset + p->item[i].bytes <= p->bytes);
            uint32_t whole = p->item[i].alias; /* parts lie inside */
            parts += p->item[i].within > 0;
            assert_true(whole == SQZ_NONE ||
                        (p->item[i].offset == p->item[whole].offset + p->item[i].within &&
                         p->item[i].within + p->item[i].bytes <= p->item[whole].bytes));
            for (uint32_t k = 0; k < i; k++) {
                const sqz_plan_item *a = &p->item[root(p, i)], *b = &p->item[root(p, k)];
                bool together = a != b && a->begin <= b->end && b->begin <= a->end;
                bool apart = a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset;
                assert_true(!together || apart);
            }
        }
        assert_true(p->bytes >= p->bound);
        sqz_plan_free(ctx, p);
        sqz_graph_free(g);
    }
    assert_true(parts > 100);
    sqz_ctx_free(ctx);
}

/* Both take 64 bytes when rounded up; the small one is read again for every row of the large one.
 */
static void test_what_is_broadcast_is_not_written_over(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g;
    sqz_vid small, large, y;
    TEST_OK(ctx, sqz_graph_create(ctx, &g));
    TEST_OK(ctx, sqz_graph_input(g, "x", SQZ_F32, &(sqz_shape){2, {2, 1}}, &small));
    TEST_OK(ctx, sqz_graph_input(g, "y", SQZ_F32, &(sqz_shape){2, {2, 8}}, &large));
    TEST_OK(ctx, sqz_graph_node_text(g, "tanh", NULL, "", &small, 1, SQZ_NONE, &small));
    const sqz_vid in[2] = {small, large};
    TEST_OK(ctx, sqz_graph_node_text(g, "mul", NULL, "", in, 2, SQZ_NONE, &y));
    TEST_OK(ctx, sqz_graph_set_outputs(g, &y, 1));
    const sqz_plan_options o = {.alignment = 64, .in_place = true, .io_in_arena = true};
    sqz_plan *p;
    TEST_OK(ctx, sqz_plan_build(g, &o, &p));
    assert_true(root(p, p->item_of_value[small]) != root(p, p->item_of_value[y]));
    sqz_plan_free(ctx, p);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

/* 60 floats a tensor, 240 B, 16-aligned 240. */
static void test_a_chain_needs_two_buffers_and_one_in_place(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g;
    sqz_vid v;
    const sqz_shape s = {4, {1, 3, 4, 5}};
    TEST_OK(ctx, sqz_graph_create(ctx, &g));
    TEST_OK(ctx, sqz_graph_input(g, "x", SQZ_F32, &s, &v));
    for (int i = 0; i < 5; i++)
        TEST_OK(ctx, sqz_graph_node_text(g, "relu", NULL, "", &v, 1, SQZ_NONE, &v));
    TEST_OK(ctx, sqz_graph_set_outputs(g, &v, 1));
    sqz_plan_options o = {.alignment = 16, .io_in_arena = true};
    sqz_plan *p;
    TEST_OK(ctx, sqz_plan_build(g, &o, &p));
    assert_int_equal(p->bytes, 480);
    sqz_plan_free(ctx, p);
    o.in_place = true;
    TEST_OK(ctx, sqz_plan_build(g, &o, &p));
    assert_int_equal(p->bytes, 240);
    sqz_plan_free(ctx, p);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void run_both(sqz_ctx *ctx, const sqz_graph *g, bool keep_all, int64_t batch, const float *x,
                     float *a, float *b)
{
    const sqz_exec_options o = {.keep_all = keep_all};
    sqz_exec *e;
    const void *in[1] = {x};
    void *out[2] = {a, b};
    TEST_OK(ctx, sqz_exec_create(g, batch, &o, &e));
    for (int i = 0; i < 2; i++) /* twice: nothing of the first run may be left */
        TEST_OK(ctx, sqz_exec_run(e, in, out));
    sqz_exec_free(e);
}

static void test_planned_run_equals_separate_buffers(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = 8};
    for (int round = 0; round < 100; round++) {
        sqz_graph *g = random_graph(ctx, &r, 2 + (int)sqz_rng_below(&r, 30));
        float x[192], y[4][192];
        for (int i = 0; i < 192; i++)
            x[i] = (float)sqz_rng_normal(&r);
        run_both(ctx, g, false, 3, x, y[0], y[1]);
        run_both(ctx, g, true, 3, x, y[2], y[3]);
        assert_memory_equal(y[0], y[2], sizeof y[0]);
        assert_memory_equal(y[1], y[3], sizeof y[1]);
        run_both(ctx, g, false, 1, x + 64, y[2], y[3]); /* a sample does not depend on its batch */
        assert_memory_equal(y[0] + 64, y[2], 256);
        sqz_graph_free(g);
    }
    sqz_ctx_free(ctx);
}

/* Two numbers and four are both less than a unit of alignment; the two are still being read when
 * the four are written. */
static void test_a_repeated_operand_is_not_overwritten(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g;
    const float x[2] = {-2, -3}, want[8] = {0, 2, 4, 6, 0, 3, 6, 9};
    float y[8] = {0};
    TEST_OK(ctx, sqz_graph_parse(ctx,
                                 "graph \"\"\ninput x f32 1x2x1\nconst c f32 4 = 0 1 2 3\n"
                                 "a = neg(x)\nb = mul(a, c)\nz = neg(b)\ny = neg(z)\noutput y\n",
                                 &g));
    sqz_exec *e;
    TEST_OK(ctx, sqz_exec_create(g, 1, NULL, &e));
    TEST_OK(ctx, sqz_exec_run(e, (const void *const[]){x}, (void *const[]){y}));
    assert_memory_equal(y, want, sizeof want);
    sqz_exec_free(e);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static sqz_status count_hook(void *user, sqz_nid node, sqz_vid value, const sqz_tensor *t)
{
    (void)node, (void)value, (void)t;
    return --*(int *)user > 0 ? SQZ_OK : SQZ_E_LIMIT;
}

static void test_a_hook_sees_inputs_and_outputs_and_can_stop(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = 9};
    sqz_graph *g = random_graph(ctx, &r, 10);
    float x[64] = {0}, y[64], z[64];
    int n = 1; /* the input */
    SQZ_EACH_NODE(g, id) { n += sqz_nod(g, id)->n_out; }
    const void *in[1] = {x};
    void *out[2] = {y, z};
    for (int room = 1; room <= n + 1; room++) {
        int left = room;
        const sqz_exec_options o = {.hook = count_hook, .hook_user = &left};
        sqz_exec *e;
        TEST_OK(ctx, sqz_exec_create(g, 1, &o, &e));
        assert_int_equal(sqz_exec_run(e, in, out), room == n + 1 ? SQZ_OK : SQZ_E_LIMIT);
        sqz_exec_free(e);
    }
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_batch_that_the_graph_cannot_run_is_found(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g;
    sqz_vid v;
    int64_t batch;
    const sqz_shape s = {2, {1, 12}};
    TEST_OK(ctx, sqz_graph_create(ctx, &g));
    TEST_OK(ctx, sqz_graph_input(g, "x", SQZ_F32, &s, &v));
    TEST_OK(ctx, sqz_graph_node_text(g, "relu", NULL, "", &v, 1, SQZ_NONE, &v));
    TEST_OK(ctx, sqz_graph_set_outputs(g, &v, 1));
    TEST_OK(ctx, sqz_graph_max_batch(g, 64, &batch));
    assert_int_equal(batch, 64);
    TEST_OK(ctx, sqz_graph_node_text(g, "reshape", NULL, "shape=3,4", &v, 1, SQZ_NONE, &v));
    TEST_OK(ctx, sqz_graph_set_outputs(g, &v, 1));
    TEST_OK(ctx, sqz_graph_max_batch(g, 64, &batch));
    assert_int_equal(batch, 1);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live_memory_never_overlaps),
        cmocka_unit_test(test_what_is_broadcast_is_not_written_over),
        cmocka_unit_test(test_a_chain_needs_two_buffers_and_one_in_place),
        cmocka_unit_test(test_planned_run_equals_separate_buffers),
        cmocka_unit_test(test_a_repeated_operand_is_not_overwritten),
        cmocka_unit_test(test_a_hook_sees_inputs_and_outputs_and_can_stop),
        cmocka_unit_test(test_batch_that_the_graph_cannot_run_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
