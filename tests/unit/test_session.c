/* test_session.c: sessions of the public API against runs of the same graph by other ways. */
#include "io/import.h"
#include "net.h"

enum { BATCH = 3, C = 3, H = 5, W = 7, OUT = 6 };

typedef struct fixture {
    net n;
    void *bytes;
    size_t size;
    float *x;
} fixture;

/* Two convolutions of three channels, so that layouts differ; one output has the file's layout. */
static fixture begin(void)
{
    fixture f = {.n = net_begin(11)};
    net *n = &f.n;
    sqz_vid x = net_input(n, (sqz_shape){4, {1, C, H, W}});
    sqz_vid y = net_unary(n, "relu", "r", "", net_conv(n, "a", x, OUT, 3));
    net_finish(n, 1, (sqz_vid[1]){net_conv(n, "b", y, OUT, 1)});
    TEST_OK(n->ctx, sqz_export_onnx(n->g, &f.bytes, &f.size));
    f.x = malloc(BATCH * C * H * W * sizeof *f.x);
    for (int i = 0; i < BATCH * C * H * W; i++)
        f.x[i] = (float)sqz_rng_normal(&n->r);
    return f;
}

static void end(fixture *f)
{
    free(f->x);
    sqz_free(f->n.ctx, f->bytes);
    net_end(&f->n);
}

static sqz_session *open_batch(fixture *f, int64_t batch)
{
    sqz_model_source src = SQZ_MODEL_SOURCE_INIT;
    sqz_session_options o = SQZ_SESSION_OPTIONS_INIT;
    sqz_session *s;
    src.bytes = f->bytes;
    src.n = f->size;
    o.batch = batch;
    TEST_OK(f->n.ctx, sqz_session_open(f->n.ctx, &src, &o, &s));
    return s;
}

static void test_a_session_computes_what_a_model_does(void **state)
{
    (void)state;
    fixture f = begin();
    float a[BATCH * OUT * H * W], b[BATCH * OUT * H * W];
    sqz_session *s = open_batch(&f, BATCH);
    sqz_model *m;
    const float *in = f.x;
    float *out = b;
    for (int again = 0; again < 2; again++)
        TEST_OK(f.n.ctx, sqz_session_run(s, (const void *[1]){f.x}, (void *[1]){a}));
    TEST_OK(f.n.ctx, sqz_model_load_bytes(f.n.ctx, f.bytes, f.size, &m));
    TEST_OK(f.n.ctx, sqz_model_run(m, BATCH, &in, &out));
    assert_memory_equal(a, b, sizeof a);
    sqz_model_free(m);
    sqz_session_free(s);
    end(&f);
}

static void test_ports_are_those_of_the_file(void **state)
{
    (void)state;
    fixture f = begin();
    sqz_session *s = open_batch(&f, 2);
    sqz_port p = {.struct_size = sizeof p};
    assert_int_equal(sqz_session_n_inputs(s), 1);
    assert_int_equal(sqz_session_n_outputs(s), 1);
    TEST_OK(f.n.ctx, sqz_session_input(s, 0, &p));
    assert_string_equal(p.name, "x");
    assert_string_equal(p.type, "f32");
    assert_int_equal(p.rank, 4);
    const int64_t want[4] = {2, C, H, W};
    assert_memory_equal(p.dim, want, sizeof want);
    assert_int_equal(p.bytes, 2 * C * H * W * 4);
    TEST_OK(f.n.ctx, sqz_session_output(s, 0, &p));
    assert_int_equal(p.dim[1], OUT);
    sqz_session_free(s);
    end(&f);
}

static void test_refusals_say_what_is_wrong(void **state)
{
    (void)state;
    fixture f = begin();
    sqz_ctx *ctx = f.n.ctx;
    sqz_session *s = open_batch(&f, 0), *none;
    sqz_model_source src = SQZ_MODEL_SOURCE_INIT;
    sqz_session_options o = SQZ_SESSION_OPTIONS_INIT;
    sqz_port p = {.struct_size = sizeof p};
    float y[OUT * H * W];
    TEST_FAILS(ctx, sqz_session_open(ctx, &src, NULL, &none), SQZ_E_ARG, "neither");
    src.bytes = f.bytes;
    src.n = f.size / 2;
    assert_int_equal(sqz_session_open(ctx, &src, NULL, &none), SQZ_E_FORMAT);
    assert_null(none);
    src.n = f.size;
    o.batch = -1;
    TEST_FAILS(ctx, sqz_session_open(ctx, &src, &o, &none), SQZ_E_ARG, "negative");
    TEST_FAILS(ctx, sqz_session_input(s, 1, &p), SQZ_E_ARG, "1 inputs");
    TEST_FAILS(ctx, sqz_session_run(s, (const void *[1]){NULL}, (void *[1]){y}), SQZ_E_ARG,
               "input 0 is NULL");
    TEST_FAILS(ctx, sqz_session_run(s, (const void *[1]){f.x}, (void *[1]){NULL}), SQZ_E_ARG,
               "output 0 is NULL");
    sqz_session_free(s);
    sqz_session_free(NULL);
    end(&f);
}

/* Channel-last samples of every element size, blocks and their rests included. */
static void test_turning_is_a_transpose(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    for (size_t elem = 1; elem <= 8; elem *= 2)
        for (size_t c = 1; c <= 5; c++)
            for (size_t rest = 1; rest <= 1200; rest += 397) {
                const sqz_turn t = {2, c, rest, elem};
                unsigned char *x = malloc(2 * c * rest * elem), *y = malloc(2 * c * rest * elem);
                for (size_t i = 0; i < 2 * c * rest * elem; i++)
                    x[i] = (unsigned char)(i * 167 >> 3);
                TEST_OK(ctx, sqz_turn_last(ctx, &t, x, y));
                for (size_t n = 0; n < 2; n++)
                    for (size_t i = 0; i < rest; i++)
                        for (size_t k = 0; k < c; k++)
                            assert_memory_equal(y + ((n * rest + i) * c + k) * elem,
                                                x + ((n * c + k) * rest + i) * elem, elem);
                free(x);
                free(y);
            }
    sqz_ctx_free(ctx);
}

typedef struct count { /* an allocator that knows how much is there */
    size_t now;
} count;
static void *count_alloc(void *user, size_t n)
{
    size_t *p = malloc(n + 64);
    if (!p)
        return NULL;
    *p = n;
    ((count *)user)->now += n;
    return (char *)p + 64;
}
static void count_free(void *user, void *p)
{
    ((count *)user)->now -= *(size_t *)(void *)((char *)p - 64);
    free((char *)p - 64);
}

/* A square product of n x n, float: its weights are there once, and those of a clone stay. */
static void test_packed_weights_are_given_back(void **state)
{
    (void)state;
    enum { N = 512, WEIGHTS = N * N * 4 };
    count c = {0};
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    o.allocator = (sqz_allocator){&c, count_alloc, count_free};
    net n = {.r = {.seed = 3}};
    assert_int_equal(sqz_ctx_create(&o, &n.ctx), SQZ_OK);
    TEST_OK(n.ctx, sqz_graph_create(n.ctx, &n.g));
    sqz_vid x = net_input(&n, (sqz_shape){2, {4, N}});
    sqz_vid w = net_const(&n, "w", (sqz_shape){2, {N, N}}, 1);
    net_finish(&n, 1, (sqz_vid[1]){net_binary(&n, "gemm", "y", x, w)});
    const float first = net_numbers(&n, "w")[0];
    sqz_exec *a, *b;
    sqz_graph *own;
    TEST_OK(n.ctx, sqz_exec_create(n.g, 0, NULL, &a));
    assert_true(net_numbers(&n, "w")[0] == first); /* the caller's graph keeps its numbers */
    sqz_exec_free(a);
    TEST_OK(n.ctx, sqz_graph_clone(n.g, &own));
    sqz_graph_free(n.g);
    assert_true(c.now > WEIGHTS);
    TEST_OK(n.ctx, sqz_exec_adopt(own, 0, NULL, &b));
    assert_true(c.now < WEIGHTS * 3 / 2); /* packed ones alone */
    sqz_exec_free(b);
    sqz_ctx_free(n.ctx);
    assert_int_equal(c.now, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_computes_what_a_model_does),
        cmocka_unit_test(test_ports_are_those_of_the_file),
        cmocka_unit_test(test_refusals_say_what_is_wrong),
        cmocka_unit_test(test_turning_is_a_transpose),
        cmocka_unit_test(test_packed_weights_are_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
