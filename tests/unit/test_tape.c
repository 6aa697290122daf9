/* The tape as a training plan: what shares memory, is fused or is computed again changes no number;
 * a step allocates nothing; a limit is kept or refused. */
#include "../net.h"
#include "train/training.h"

/* ---- a small residual network with a head, and a loss: the sum of its outputs by weights ---- */

typedef struct trained {
    sqz_training t;
    sqz_tape *tape;
    sqz_parameter *p;
    uint32_t n;
    sqz_arena a;
} trained;

static sqz_vid conv(net *n, const char *name, sqz_vid x, int64_t in, int64_t out, const char *attrs)
{
    char w[32];
    (void)snprintf(w, sizeof w, "%s.w", name);
    return net_node(n, "conv2d", name, attrs, 2,
                    (sqz_vid[]){x, net_const(n, w, (sqz_shape){4, {out, in, 3, 3}}, 0.2)});
}

static sqz_vid norm(net *n, const char *name, sqz_vid x, int64_t c)
{
    static const char *const part[4] = {"scale", "bias", "mean", "variance"};
    sqz_vid in[5] = {x};
    for (int i = 0; i < 4; i++) {
        char w[32];
        (void)snprintf(w, sizeof w, "%s.%s", name, part[i]);
        in[i + 1] = net_const(n, w, (sqz_shape){1, {c}}, 1);
    }
    return net_node(n, "batch_norm", name, "", 5, in);
}

/* Two residual blocks, dropout, views, a pool and two dense layers. */
static void build(net *n, int64_t batch)
{
    const char *same = "pads=1,1,1,1", *half = "pads=1,1,1,1 strides=2,2";
    sqz_vid x = net_input(n, (sqz_shape){4, {batch, 3, 12, 12}});
    x = net_unary(n, "relu", "r0", "", norm(n, "n0", conv(n, "c0", x, 3, 8, same), 8));
    sqz_vid y = net_unary(n, "relu", "r1", "", norm(n, "n1", conv(n, "c1", x, 8, 8, same), 8));
    y = norm(n, "n2", conv(n, "c2", y, 8, 8, same), 8);
    x = net_unary(n, "relu", "r2", "", net_binary(n, "add", "a0", y, x));
    y = net_unary(n, "clip", "r3", "min=0 max=1", norm(n, "n3", conv(n, "c3", x, 8, 8, half), 8));
    y = norm(n, "n4", conv(n, "c4", y, 8, 8, same), 8);
    x = norm(n, "n5", conv(n, "c5", x, 8, 8, half), 8);
    x = net_unary(n, "relu", "r4", "", net_binary(n, "add", "a1", y, x));
    x = net_unary(n, "dropout", "d", "ratio=0.3", x);
    x = net_unary(n, "flatten", "f", "", net_unary(n, "max_pool", "p", "kernel_shape=2,2", x));
    x = net_node(n, "gemm", "g0", "", 3,
                 (sqz_vid[]){x, net_const(n, "g0.w", (sqz_shape){2, {20, 200}}, 0.2),
                             net_const(n, "g0.b", (sqz_shape){1, {20}}, 0.1)});
    x = net_unary(n, "relu", "r5", "", x);
    x = net_unary(n, "identity", "i", "", x);
    y = net_unary(n, "reshape", "s", "shape=-1,20", x);
    x = net_binary(n, "mul", "m", y, x); /* x twice, once by a view */
    TEST_OK(n->ctx, sqz_graph_set_outputs(n->g, &x, 1));
    TEST_OK(n->ctx, sqz_run_recipe(n->g, SQZ_TRAINABLE, &(sqz_env){0}));
}

static sqz_status make(net *n, sqz_tape_options o, trained *t)
{
    *t = (trained){.a = {.ctx = n->ctx}};
    TEST_OK(n->ctx, sqz_training_make(n->g, &(sqz_training_options){.seed = 5}, &t->t));
    TEST_OK(n->ctx, sqz_training_parameters(n->g, &t->a, &t->p, &t->n));
    sqz_vid *want = sqz_arena_alloc(&t->a, t->n, sizeof *want);
    for (uint32_t i = 0; i < t->n; i++)
        want[i] = t->p[i].value;
    o.want = want;
    o.n_want = t->n;
    o.seed = t->t.g->output;
    o.n_seed = 1;
    o.read = t->t.read;
    o.n_read = t->t.n_read;
    return sqz_tape_create(t->t.g, &o, &t->tape);
}

static void unmake(trained *t)
{
    sqz_tape_free(t->tape);
    sqz_training_free(&t->t);
    sqz_arena_free(&t->a);
}

/* One step on the numbers of a seed. */
static void step(trained *t, uint64_t seed)
{
    sqz_ctx *ctx = t->t.g->ctx;
    const sqz_vid x = t->t.g->input[0], y = t->t.g->output[0];
    sqz_rng r = {.seed = seed};
    for (size_t i = 0; i < sqz_tape_count(t->tape, x); i++)
        sqz_tape_data(t->tape, x)[i] = (float)sqz_rng_normal(&r);
    sqz_tape_set_step(t->tape, seed);
    TEST_OK(ctx, sqz_tape_forward(t->tape));
    for (size_t i = 0; i < sqz_tape_count(t->tape, y); i++)
        sqz_tape_grad(t->tape, y)[i] = (float)sqz_rng_normal(&r);
    TEST_OK(ctx, sqz_tape_backward(t->tape));
}

/* Bit by bit, but for the sign of zeros: results, statistics and gradients. */
static void same(const trained *a, const trained *b)
{
    const sqz_vid y = a->t.g->output[0];
    for (size_t k = 0; k < sqz_tape_count(a->tape, y); k++)
        assert_true(sqz_tape_data(a->tape, y)[k] == sqz_tape_data(b->tape, y)[k]);
    for (uint32_t i = 0; i < a->t.n_read; i++)
        for (size_t k = 0; k < sqz_tape_count(a->tape, a->t.read[i]); k++)
            assert_true(sqz_tape_data(a->tape, a->t.read[i])[k] ==
                        sqz_tape_data(b->tape, a->t.read[i])[k]);
    for (uint32_t i = 0; i < a->n; i++)
        for (size_t k = 0; k < sqz_tape_count(a->tape, a->p[i].value); k++) {
            const float p = sqz_tape_grad(a->tape, a->p[i].value)[k],
                        q = sqz_tape_grad(b->tape, a->p[i].value)[k];
            if (p != q)
                fail_msg("gradient of '%s', element %zu: %.9g and %.9g",
                         sqz_val(a->t.g, a->p[i].value)->name, k, (double)p, (double)q);
        }
}

static void test_fusing_and_sharing_change_no_number(void **state)
{
    net n = net_begin(1);
    trained plain, t;
    (void)state;
    build(&n, 4);
    TEST_OK(n.ctx, make(&n, (sqz_tape_options){.plain = true}, &plain));
    TEST_OK(n.ctx, make(&n, (sqz_tape_options){0}, &t));
    for (uint64_t s = 0; s < 3; s++) {
        step(&plain, s);
        step(&t, s);
        same(&plain, &t);
    }
    assert_true(sqz_tape_bytes(t.tape) < sqz_tape_bytes(plain.tape));
    unmake(&plain);
    unmake(&t);
    net_end(&n);
}

static void test_computing_again_keeps_the_limit_and_the_numbers(void **state)
{
    net n = net_begin(2);
    trained all, t;
    uint32_t kept = 0;
    (void)state;
    build(&n, 16);
    TEST_OK(n.ctx, make(&n, (sqz_tape_options){.memory_limit = SIZE_MAX}, &all));
    assert_int_equal(sqz_tape_again(all.tape), 0); /* nothing has to be */
    const size_t bytes = sqz_tape_bytes(all.tape);
    for (size_t part = 95; part >= 30; part -= 5) {
        const size_t limit = bytes / 100 * part;
        if (make(&n, (sqz_tape_options){.memory_limit = limit}, &t) == SQZ_OK) {
            assert_true(sqz_tape_bytes(t.tape) <= limit);
            assert_true(sqz_tape_again(t.tape) > 0);
            for (uint64_t s = 7; s < 9; s++) {
                step(&all, s);
                step(&t, s);
                same(&all, &t);
            }
            kept++;
        } else if (!strstr(sqz_last_error(n.ctx), "smaller batch")) {
            fail_msg("%s", sqz_last_error(n.ctx));
        }
        unmake(&t);
    }
    if (kept < 3)
        fail_msg("only %u limits could be kept", (unsigned)kept);
    unmake(&all);
    net_end(&n);
}

static void test_a_limit_that_cannot_be_kept_is_refused(void **state)
{
    net n = net_begin(3);
    trained t;
    (void)state;
    build(&n, 4);
    TEST_FAILS(n.ctx, make(&n, (sqz_tape_options){.memory_limit = 4096}, &t), SQZ_E_LIMIT,
               "the limit is 4 KiB");
    assert_null(t.tape);
    unmake(&t);
    net_end(&n);
}

static void test_what_nobody_wants_has_no_gradient(void **state)
{
    net n = net_begin(4);
    sqz_training g;
    sqz_tape *all, *head;
    (void)state;
    build(&n, 4);
    TEST_OK(n.ctx, sqz_training_make(n.g, &(sqz_training_options){0}, &g));
    const sqz_vid want[] = {sqz_graph_find(n.g, "g0.b"), sqz_graph_find(n.g, "c0.w")};
    sqz_tape_options o = {.want = want, .n_want = 2, .seed = g.g->output, .n_seed = 1};
    TEST_OK(n.ctx, sqz_tape_create(g.g, &o, &all));
    o.n_want = 1;
    TEST_OK(n.ctx, sqz_tape_create(g.g, &o, &head));
    assert_true(sqz_tape_bytes(head) < sqz_tape_bytes(all) / 2); /* nothing in front is kept */
    assert_null(sqz_tape_grad(head, want[1]));
    sqz_tape_free(all);
    sqz_tape_free(head);
    sqz_training_free(&g);
    net_end(&n);
}

/* ---- allocations ---- */

static size_t allocations;
static void *counted(void *user, size_t bytes)
{
    (void)user;
    allocations++;
    return malloc(bytes);
}
static void freed(void *user, void *p)
{
    (void)user;
    free(p);
}

static void test_a_step_allocates_nothing(void **state)
{
    net n = net_begin(5);
    trained t;
    (void)state;
    build(&n, 4);
    TEST_OK(n.ctx, make(&n, (sqz_tape_options){0}, &t));
    const sqz_allocator before = n.ctx->mem;
    const size_t live = n.ctx->live;
    n.ctx->mem = (sqz_allocator){.alloc = counted, .free = freed};
    allocations = 0;
    step(&t, 1);
    assert_int_equal(allocations, 0);
    assert_int_equal(n.ctx->live, live);
    n.ctx->mem = before;
    unmake(&t);
    net_end(&n);
}

/* Along a random direction of all parameters, by central differences on the loss in double. */
static double loss_at(trained *t, const float *weights)
{
    const sqz_vid y = t->t.g->output[0];
    double sum = 0;
    TEST_OK(t->t.g->ctx, sqz_tape_forward(t->tape));
    for (size_t i = 0; i < sqz_tape_count(t->tape, y); i++)
        sum += (double)weights[i] * (double)sqz_tape_data(t->tape, y)[i];
    return sum;
}

static void shift(trained *t, uint64_t seed, double by)
{
    sqz_rng r = {.seed = seed};
    for (uint32_t i = 0; i < t->n; i++)
        for (size_t k = 0; k < sqz_tape_count(t->tape, t->p[i].value); k++)
            sqz_tape_data(t->tape, t->p[i].value)[k] += (float)(by * sqz_rng_normal(&r));
}

static void test_gradients_point_where_the_loss_goes(void **state)
{
    net n = net_begin(6);
    trained t;
    (void)state;
    build(&n, 8);
    TEST_OK(n.ctx, make(&n, (sqz_tape_options){0}, &t));
    step(&t, 3);
    double off = 0, all = 0;
    for (uint64_t d = 50; d < 62; d++) {
        sqz_rng r = {.seed = d};
        double slope = 0;
        for (uint32_t i = 0; i < t.n; i++)
            for (size_t k = 0; k < sqz_tape_count(t.tape, t.p[i].value); k++)
                slope += sqz_rng_normal(&r) * (double)sqz_tape_grad(t.tape, t.p[i].value)[k];
        const double h = 1e-4;
        shift(&t, d, h);
        const double up = loss_at(&t, sqz_tape_grad(t.tape, t.t.g->output[0]));
        shift(&t, d, -2 * h);
        const double down = loss_at(&t, sqz_tape_grad(t.tape, t.t.g->output[0]));
        shift(&t, d, h);
        off += pow((up - down) / (2 * h) - slope, 2);
        all += slope * slope;
    }
    /* clamps have kinks on the way, and the loss is a sum of floats: some percent */
    if (!(off < 0.01 * all))
        fail_msg("%.3g of the slopes are off", sqrt(off / all));
    unmake(&t);
    net_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fusing_and_sharing_change_no_number),
        cmocka_unit_test(test_computing_again_keeps_the_limit_and_the_numbers),
        cmocka_unit_test(test_a_limit_that_cannot_be_kept_is_refused),
        cmocka_unit_test(test_what_nobody_wants_has_no_gradient),
        cmocka_unit_test(test_a_step_allocates_nothing),
        cmocka_unit_test(test_gradients_point_where_the_loss_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
