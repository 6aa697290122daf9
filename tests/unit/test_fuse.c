/* Fusion: random networks give the same bytes fused, node by node, with every value kept, and for
 * any batch and number of threads; and the chains that matter are found. */
#include "exec/fuse.h"
#include "net.h"

enum { ROUNDS = 60, C = 8, SIDE = 6, BATCH = 3 };

/* ---- random networks: sums of products and elementwise nodes behind them ---- */

typedef struct made { /* values of one shape, N x C x SIDE x SIDE */
    sqz_vid v[40];
    unsigned n;
} made;

static sqz_vid pick(net *n, const made *m) { return m->v[sqz_rng_below(&n->r, m->n)]; }

static sqz_vid elementwise(net *n, const made *m, sqz_vid x, const char *name)
{
    static const char *const unary[] = {"relu", "sigmoid", "tanh", "abs", "leaky_relu", "erf"};
    char c[64];
    (void)snprintf(c, sizeof c, "%s.c", name);
    switch (sqz_rng_below(&n->r, 8)) {
    case 0: return net_unary(n, "clip", name, "min=-0.5 max=0.75", x);
    case 1: return net_binary(n, "add", name, x, net_const(n, c, (sqz_shape){3, {C, 1, 1}}, 0.5));
    case 2: return net_binary(n, "mul", name, net_const(n, c, (sqz_shape){0}, 1), x);
    case 3: return net_binary(n, "add", name, x, pick(n, m));
    case 4: return net_binary(n, "mul", name, pick(n, m), x);
    case 5: return net_binary(n, "sub", name, pick(n, m), x);
    default: return net_unary(n, unary[sqz_rng_below(&n->r, 6)], name, "", x);
    }
}

static sqz_vid product(net *n, sqz_vid x, const char *name)
{
    char w[64];
    (void)snprintf(w, sizeof w, "%s.w", name);
    if (sqz_rng_below(&n->r, 2))
        return net_conv(n, name, x, C, sqz_rng_below(&n->r, 2) ? 3 : 1);
    return net_node(n, "dwconv2d", name, "pads=1,1,1,1", 2,
                    (sqz_vid[2]){x, net_const(n, w, (sqz_shape){4, {C, 1, 3, 3}}, 0.4)});
}

static net random_net(uint64_t seed)
{
    net n = net_begin(seed);
    made m = {.v = {net_input(&n, (sqz_shape){4, {1, C, SIDE, SIDE}})}, .n = 1};
    char name[32];
    for (unsigned i = 0; i < 6; i++) {
        (void)snprintf(name, sizeof name, "p%u", i);
        sqz_vid v = sqz_rng_below(&n.r, 4) ? product(&n, pick(&n, &m), name) : pick(&n, &m);
        unsigned chain = (unsigned)sqz_rng_below(&n.r, 5);
        for (unsigned k = 0; k < chain; k++) {
            (void)snprintf(name, sizeof name, "e%u_%u", i, k);
            v = elementwise(&n, &m, v, name);
            if (sqz_rng_below(&n.r, 6) == 0)
                m.v[m.n++] = v; /* may get a second use */
        }
        m.v[m.n++] = v;
    }
    net_finish(&n, 2, (sqz_vid[2]){m.v[m.n - 1], pick(&n, &m)});
    return n;
}

/* ---- running ---- */

typedef struct outputs {
    void *data[2];
    size_t bytes[2];
} outputs;

static outputs run(sqz_graph *g, const float *x, int64_t batch, const sqz_exec_options *opt)
{
    outputs o = {0};
    sqz_exec *e;
    const void *in = x;
    TEST_OK(g->ctx, sqz_exec_create(g, batch, opt, &e));
    for (unsigned i = 0; i < 2; i++) {
        const sqz_value *v = sqz_val(g, g->output[i]);
        TEST_OK(g->ctx, sqz_shape_count(g->ctx, &v->shape, v->dtype, NULL, &o.bytes[i]));
        o.bytes[i] *= (size_t)batch;
        o.data[i] = aligned_alloc(SQZ_ALIGN, (o.bytes[i] + SQZ_ALIGN - 1) / SQZ_ALIGN * SQZ_ALIGN);
    }
    for (int again = 0; again < 2; again++) /* a second run must not see the first */
        TEST_OK(g->ctx, sqz_exec_run(e, &in, o.data));
    sqz_exec_free(e);
    return o;
}

static void free_outputs(outputs *o)
{
    free(o->data[0]);
    free(o->data[1]);
}

static sqz_status ignore(void *user, sqz_nid node, sqz_vid v, const sqz_tensor *t)
{
    (void)user, (void)node, (void)v, (void)t;
    return SQZ_OK;
}

static void check_same(net *n, uint64_t seed)
{
    static const sqz_exec_options way[] = {
        {.no_fuse = true}, {.keep_all = true}, {.hook = ignore}, {.time_nodes = true}};
    const size_t one = (size_t)C * SIDE * SIDE;
    float *x = aligned_alloc(SQZ_ALIGN, BATCH * one * sizeof *x);
    for (size_t i = 0; i < BATCH * one; i++)
        x[i] = (float)sqz_rng_normal(&n->r);
    outputs fused = run(n->g, x, BATCH, NULL);
    for (unsigned w = 0; w < SQZ_COUNT(way); w++) {
        outputs o = run(n->g, x, BATCH, &way[w]);
        for (unsigned i = 0; i < 2; i++)
            if (memcmp(o.data[i], fused.data[i], fused.bytes[i]) != 0)
                fail_msg("seed %u, way %u: output %u differs", (unsigned)seed, w, i);
        free_outputs(&o);
    }
    for (size_t s = 0; s < BATCH; s++) { /* a sample does not depend on its batch */
        outputs o = run(n->g, x + s * one, 1, NULL);
        for (unsigned i = 0; i < 2; i++)
            if (memcmp(o.data[i], (char *)fused.data[i] + s * o.bytes[i], o.bytes[i]) != 0)
                fail_msg("seed %u: sample %zu alone differs", (unsigned)seed, s);
        free_outputs(&o);
    }
    free_outputs(&fused);
    free(x);
}

static void test_fused_float_networks_give_the_same_bytes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        net n = random_net(seed);
        check_same(&n, seed);
        net_end(&n);
    }
}

static void test_fused_integer_networks_give_the_same_bytes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        net n = random_net(1000 + seed);
        sqz_dataset ds = net_data(&n, 8);
        sqz_env env = {.calib = &ds};
        TEST_OK(n.ctx, sqz_run_recipe(n.g, "calib(method=minmax),ptq", &env));
        check_same(&n, seed);
        net_data_free(&ds);
        net_end(&n);
    }
}

/* ---- what is found ---- */

static sqz_chain *chain_of(net *n, sqz_arena *a, const char *node, unsigned *steps)
{
    sqz_chain **chain;
    sqz_nid *into, found = SQZ_NONE;
    TEST_OK(n->ctx, sqz_fuse(n->g, a, &chain, &into));
    *steps = 0;
    SQZ_EACH_NODE(n->g, id)
    {
        ++*steps;
        if (strcmp(sqz_nod(n->g, id)->name, node) == 0)
            found = id;
    }
    return found == SQZ_NONE ? NULL : chain[found];
}

/* Of two convolutions that are added, the later one takes the addition and what follows. */
static void test_a_residual_block_is_two_steps(void **state)
{
    (void)state;
    net n = net_begin(7);
    sqz_arena a = {.ctx = n.ctx};
    unsigned steps;
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, C, SIDE, SIDE}});
    sqz_vid p = net_conv(&n, "first", x, C, 3), q = net_conv(&n, "second", x, C, 3);
    sqz_vid y = net_unary(&n, "relu", "r", "", net_binary(&n, "add", "sum", p, q));
    net_finish(&n, 1, (sqz_vid[1]){y});
    sqz_chain *h = chain_of(&n, &a, "second", &steps);
    assert_non_null(h);
    assert_int_equal(steps, 3); /* and the transpose of the output */
    assert_int_equal(h->n_then, 0);
    assert_int_not_equal(h->add, SQZ_NONE);
    assert_true(h->lo == 0 && h->hi == INFINITY);
    sqz_arena_free(&a);
    net_end(&n);
}

/* A value that is used twice, or is an output, stays. */
static void test_values_with_other_uses_are_kept(void **state)
{
    (void)state;
    net n = net_begin(8);
    sqz_arena a = {.ctx = n.ctx};
    unsigned steps;
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, C, SIDE, SIDE}});
    sqz_vid p = net_conv(&n, "conv", x, C, 3);
    sqz_vid r = net_unary(&n, "relu", "r", "", p);
    sqz_vid y = net_unary(&n, "tanh", "t", "", r);
    net_finish(&n, 3, (sqz_vid[3]){y, r, net_binary(&n, "mul", "m", p, p)});
    assert_null(chain_of(&n, &a, "conv", &steps));
    sqz_arena_free(&a);
    net_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fused_float_networks_give_the_same_bytes),
        cmocka_unit_test(test_fused_integer_networks_give_the_same_bytes),
        cmocka_unit_test(test_a_residual_block_is_two_steps),
        cmocka_unit_test(test_values_with_other_uses_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
