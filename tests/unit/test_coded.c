/* Products with weights that stay codes, as nodes of a graph run by the executor, against sums in
 * double over what dequantization means. */
#include "exec/codes.h"
#include "exec/exec.h"
#include "ir/qgrid.h"
#include "sqz_test.h"

enum { SEED = 4711 };

typedef struct net { /* x (M,K) -> y (M,N) */
    sqz_ctx *ctx;
    sqz_graph *g;
    sqz_rng rng;
    int64_t m, k, n;
    sqz_tensor codes; /* lives in g */
    sqz_quant grid;
    bool by_terms; /* codes are (K,N), else (N,K) */
    sqz_vid x, w, y;
} net;

static sqz_ctx *ctx_with(int32_t rows, int32_t threads)
{
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    sqz_ctx *ctx = NULL;
    o.rows = rows;
    o.threads = threads;
    assert_int_equal(sqz_ctx_create(&o, &ctx), SQZ_OK);
    return ctx;
}

typedef struct form {
    sqz_dtype dtype;
    int32_t group; /* 0: by outputs; -1: one scale */
    bool zeros, by_terms, gemm, transpose;
} form;

static void grid_of(net *t, const form *f, const sqz_shape *s)
{
    static float scale[65536];
    static int32_t zero[65536];
    const int64_t lo = f->dtype == SQZ_S8 ? -128 : f->dtype == SQZ_S4 ? -8 : 0;
    const uint64_t codes = sqz_dtype_bits(f->dtype) == 4 ? 16 : 256;
    uint64_t n = f->group < 0 ? 1 : (uint64_t)t->n;
    t->grid = (sqz_quant){.dtype = f->dtype, .axis = f->group < 0 ? -1 : t->by_terms ? 1 : 0};
    if (f->group > 0) {
        t->grid.axis = t->by_terms ? 0 : 1;
        t->grid.group = f->group;
        assert_true(sqz_quant_blocks(&t->grid, s, &n));
    }
    assert_true(n <= SQZ_COUNT(scale));
    const int32_t one = (int32_t)(lo + (int64_t)codes / 2);
    for (uint64_t i = 0; i < n; i++) {
        scale[i] = (float)(0.01 + 0.05 * sqz_rng_uniform(&t->rng));
        zero[i] = f->zeros ? (int32_t)(lo + (int64_t)sqz_rng_below(&t->rng, codes)) : one;
    }
    t->grid.n = (uint32_t)n;
    t->grid.scale = scale;
    t->grid.zero = zero;
}

static void net_make(net *t, sqz_ctx *ctx, const form *f, int64_t m, int64_t k, int64_t n)
{
    *t = (net){.ctx = ctx, .rng = {SEED, 0}, .m = m, .k = k, .n = n, .by_terms = f->by_terms};
    const sqz_shape xs = {2, {m, k}};
    const sqz_shape ws = {2, {f->by_terms ? k : n, f->by_terms ? n : k}};
    TEST_OK(ctx, sqz_graph_create(ctx, &t->g));
    TEST_OK(ctx, sqz_graph_input(t->g, "x", SQZ_F32, &xs, &t->x));
    TEST_OK(ctx, sqz_tensor_alloc(ctx, f->dtype, &ws, &t->codes));
    const int64_t lo = f->dtype == SQZ_S8 ? -128 : f->dtype == SQZ_S4 ? -8 : 0;
    for (size_t i = 0; i < t->codes.count; i++)
        sqz_tensor_set_i64(
            &t->codes, i,
            lo + (int64_t)sqz_rng_below(&t->rng, sqz_dtype_bits(f->dtype) == 4 ? 16 : 256));
    grid_of(t, f, &ws);
    sqz_tensor handed;
    sqz_tensor_share(&t->codes, &handed);
    TEST_OK(ctx, sqz_graph_constant(t->g, "w", &handed, &t->w));
    TEST_OK(ctx, sqz_value_set_grid(t->g, t->w, &t->grid));
    sqz_vid in[2] = {t->x, SQZ_NONE};
    TEST_OK(ctx, sqz_graph_node_text(t->g, "dequantize", "dq", "", &t->w, 1, SQZ_NONE, &in[1]));
    if (f->transpose)
        TEST_OK(ctx, sqz_graph_node_text(t->g, "transpose", "turn", "perm=1,0", &in[1], 1, SQZ_NONE,
                                         &in[1]));
    TEST_OK(ctx, sqz_graph_node_text(t->g, f->gemm ? "gemm" : "matmul", "product", "", in, 2,
                                     SQZ_NONE, &t->y));
    TEST_OK(ctx, sqz_graph_set_outputs(t->g, &t->y, 1));
}

static void net_free(net *t)
{
    sqz_tensor_free(t->ctx, &t->codes);
    sqz_graph_free(t->g);
}

static unsigned count(const sqz_graph *g, const char *op)
{
    unsigned n = 0;
    SQZ_EACH_NODE(g, id) { n += strcmp(sqz_nod(g, id)->op->info.name, op) == 0; }
    return n;
}

/* Nodes of a kind that are left when the executor has looked for codes. */
static unsigned left(const net *t, const char *op)
{
    sqz_graph *c;
    TEST_OK(t->ctx, sqz_graph_clone(t->g, &c));
    TEST_OK(t->ctx, sqz_keep_codes(c));
    const unsigned n = count(c, op);
    sqz_graph_free(c);
    return n;
}

static float *net_run(net *t, const float *x)
{
    sqz_exec *e;
    float *y = malloc((size_t)(t->m * t->n) * sizeof *y);
    const void *in[] = {x};
    void *out[] = {y};
    TEST_OK(t->ctx, sqz_exec_create(t->g, 0, NULL, &e));
    TEST_OK(t->ctx, sqz_exec_run(e, in, out));
    sqz_exec_free(e);
    return y;
}

static float *random_x(net *t)
{
    float *x = malloc((size_t)(t->m * t->k) * sizeof *x);
    for (int64_t i = 0; i < t->m * t->k; i++)
        x[i] = (float)sqz_rng_normal(&t->rng);
    return x;
}

static double weight(const net *t, int64_t j, int64_t i)
{
    const size_t at = (size_t)(t->by_terms ? i * t->n + j : j * t->k + i);
    const sqz_qrun r = sqz_quant_run(&t->grid, &t->codes.shape, at);
    return (double)t->grid.scale[r.first] *
           (double)(sqz_tensor_i64(&t->codes, at) - t->grid.zero[r.first]);
}

/* `part`: of the sum of magnitudes that the result may be off by. */
static void check(const net *t, const float *x, const float *y, double part)
{
    for (int64_t r = 0; r < t->m; r++)
        for (int64_t j = 0; j < t->n; j++) {
            double sum = 0, size = 0;
            for (int64_t i = 0; i < t->k; i++) {
                const double v = weight(t, j, i) * (double)x[r * t->k + i];
                sum += v;
                size += fabs(v);
            }
            TEST_NEAR((double)y[r * t->n + j], sum, part * size);
        }
}

static const form forms[] = {
    {SQZ_S4, 32, false, true, false, false},  {SQZ_U4, 16, true, true, false, false},
    {SQZ_U4, 128, false, false, false, true}, {SQZ_S8, 32, false, false, true, false},
    {SQZ_U8, 64, true, true, true, true},     {SQZ_S8, 0, true, true, false, false},
    {SQZ_S4, 0, false, false, true, false},   {SQZ_S4, 1024, true, true, false, false},
    {SQZ_U8, -1, false, false, false, true},  {SQZ_S4, 40, false, false, true, false},
    {SQZ_S4, 264, false, false, true, false},
};

static void test_codes_are_used_as_they_are_and_give_what_unfolding_gives(void **state)
{
    (void)state;
    sqz_ctx *ctx = ctx_with(SQZ_ROWS_MODEL, 2);
    for (size_t i = 0; i < SQZ_COUNT(forms); i++)
        for (int64_t m = 1; m <= 19; m += 9) {
            net t;
            net_make(&t, ctx, &forms[i], m, 300, 70);
            assert_int_equal(left(&t, "dequantize"), 0);
            assert_int_equal(left(&t, "transpose"), 0);
            float *x = random_x(&t), *y = net_run(&t, x);
            check(&t, x, y, 320 * 0x1p-24);
            free(x);
            free(y);
            net_free(&t);
        }
    sqz_ctx_free(ctx);
}

static void test_int8_rows_are_as_near_as_their_steps(void **state)
{
    (void)state;
    sqz_ctx *ctx = ctx_with(SQZ_ROWS_INT8, 2), *exact = ctx_with(SQZ_ROWS_FLOAT, 2);
    for (size_t i = 0; i < SQZ_COUNT(forms); i++) {
        net t, f;
        net_make(&t, ctx, &forms[i], 5, 300, 70);
        net_make(&f, exact, &forms[i], 5, 300, 70);
        float *x = random_x(&t), *y = net_run(&t, x), *z = net_run(&f, x);
        double off = 0, size = 0;
        for (int64_t j = 0; j < t.m * t.n; j++) {
            off += pow((double)(y[j] - z[j]), 2);
            size += pow((double)z[j], 2);
        }
        /* a step is 1/127 of the largest of a block, here some 2.5 sigma, and an error of a step
         * over sqrt(12): 0.57 % of the row; it must be there, and not be larger than twice that */
        assert_true(off > 0 && sqrt(off / size) < 0.0114);
        free(x);
        free(y);
        free(z);
        net_free(&t);
        net_free(&f);
    }
    sqz_ctx_free(ctx);
    sqz_ctx_free(exact);
}

static void test_a_row_gives_the_same_bytes_alone_and_for_any_number_of_threads(void **state)
{
    (void)state;
    const int32_t rows[] = {SQZ_ROWS_FLOAT, SQZ_ROWS_INT8};
    for (size_t i = 0; i < 2; i++) {
        sqz_ctx *ctx = ctx_with(rows[i], 1), *more = ctx_with(rows[i], 4);
        net t, one;
        net_make(&t, ctx, &forms[0], 11, 256, 600);
        net_make(&one, more, &forms[0], 1, 256, 600);
        float *x = random_x(&t), *y = net_run(&t, x);
        for (int64_t r = 0; r < t.m; r++) {
            float *z = net_run(&one, x + r * t.k);
            assert_memory_equal(z, y + r * t.n, (size_t)t.n * sizeof *z);
            free(z);
        }
        free(x);
        free(y);
        net_free(&t);
        net_free(&one);
        sqz_ctx_free(ctx);
        sqz_ctx_free(more);
    }
}

static void test_a_nan_in_a_row_is_not_hidden(void **state)
{
    (void)state;
    const int32_t rows[] = {SQZ_ROWS_FLOAT, SQZ_ROWS_INT8};
    for (size_t i = 0; i < 2; i++) {
        sqz_ctx *ctx = ctx_with(rows[i], 1);
        net t;
        net_make(&t, ctx, &forms[0], 2, 64, 16);
        float *x = random_x(&t);
        x[70] = NAN;
        float *y = net_run(&t, x);
        for (size_t j = 0; j < 16; j++)
            assert_true(!isnan(y[j]) && isnan(y[16 + j]));
        free(x);
        free(y);
        net_free(&t);
        sqz_ctx_free(ctx);
    }
}

static void test_rows_of_zeros_give_zeros(void **state)
{
    (void)state;
    sqz_ctx *ctx = ctx_with(SQZ_ROWS_INT8, 1);
    net t;
    net_make(&t, ctx, &forms[1], 1, 64, 16);
    float x[64] = {0}, *y = net_run(&t, x);
    for (size_t j = 0; j < 16; j++)
        assert_true(y[j] == 0.0f);
    free(y);
    net_free(&t);
    sqz_ctx_free(ctx);
}

static void test_what_cannot_stay_codes_is_unfolded(void **state)
{
    (void)state;
    sqz_ctx *ctx = ctx_with(SQZ_ROWS_MODEL, 1);
    const form odd = {SQZ_S4, 12, false, true, false, false}; /* no multiple of 8 */
    net t;
    net_make(&t, ctx, &odd, 3, 60, 20);
    assert_int_equal(left(&t, "dequantize"), 1);
    float *x = random_x(&t), *y = net_run(&t, x);
    check(&t, x, y, 64 * 0x1p-24);
    free(x);
    free(y);
    net_free(&t);
    /* the real numbers are wanted elsewhere too */
    net_make(&t, ctx, &forms[0], 3, 60, 20);
    sqz_vid out[2] = {t.y, sqz_nod(t.g, t.g->first)->out[0]};
    TEST_OK(ctx, sqz_graph_set_outputs(t.g, out, 2));
    assert_int_equal(left(&t, "dequantize"), 1);
    net_free(&t);
    sqz_ctx_free(ctx);
}

static void test_a_bias_a_clamp_and_a_chain_are_done_too(void **state)
{
    (void)state;
    sqz_ctx *ctx = ctx_with(SQZ_ROWS_MODEL, 2);
    net t;
    net_make(&t, ctx, &forms[0], 7, 96, 200);
    const sqz_shape bs = {1, {200}};
    sqz_tensor b;
    TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_F32, &bs, &b));
    for (size_t i = 0; i < b.count; i++)
        SQZ_F32P(&b)[i] = (float)i * 0.01f - 1.0f;
    float *x = random_x(&t), *plain = net_run(&t, x);
    sqz_vid in[2] = {t.y, SQZ_NONE}, v;
    TEST_OK(ctx, sqz_graph_constant(t.g, "b", &b, &in[1]));
    TEST_OK(ctx, sqz_graph_node_text(t.g, "add", "sum", "", in, 2, SQZ_NONE, &v));
    TEST_OK(ctx, sqz_graph_node_text(t.g, "relu", "clamp", "", &v, 1, SQZ_NONE, &v));
    TEST_OK(ctx, sqz_graph_node_text(t.g, "neg", "chain", "", &v, 1, SQZ_NONE, &v));
    TEST_OK(ctx, sqz_graph_set_outputs(t.g, &v, 1));
    float *y = net_run(&t, x);
    for (size_t i = 0; i < 7 * 200; i++) {
        const float sum = plain[i] + ((float)(i % 200) * 0.01f - 1.0f);
        assert_true(y[i] == -(sum > 0 ? sum : 0));
    }
    free(x);
    free(y);
    free(plain);
    net_free(&t);
    sqz_ctx_free(ctx);
}

static void test_a_context_refuses_other_rows(void **state)
{
    (void)state;
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    sqz_ctx *ctx;
    o.rows = 3;
    assert_int_equal(sqz_ctx_create(&o, &ctx), SQZ_E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes_are_used_as_they_are_and_give_what_unfolding_gives),
        cmocka_unit_test(test_int8_rows_are_as_near_as_their_steps),
        cmocka_unit_test(test_a_row_gives_the_same_bytes_alone_and_for_any_number_of_threads),
        cmocka_unit_test(test_a_nan_in_a_row_is_not_hidden),
        cmocka_unit_test(test_rows_of_zeros_give_zeros),
        cmocka_unit_test(test_what_cannot_stay_codes_is_unfolded),
        cmocka_unit_test(test_a_bias_a_clamp_and_a_chain_are_done_too),
        cmocka_unit_test(test_a_context_refuses_other_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
