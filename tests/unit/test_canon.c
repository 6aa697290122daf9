/* Folding of constants and batch norms, dead code, equal constants; recipes. */
#include "eval.h"
#include "ir/pass.h"

#define TOLERANCE 1e-5 /* of the largest output: weights are rounded once more after folding */

/* Runs a recipe on a copy; the copy computes the same and has `nodes` nodes. */
static sqz_graph *after(sqz_ctx *ctx, const char *text, const char *recipe, unsigned nodes)
{
    sqz_graph *g = NULL, *h = NULL;
    unsigned n = 0;
    TEST_OK(ctx, sqz_graph_parse(ctx, text, &g));
    TEST_OK(ctx, sqz_graph_clone(g, &h));
    TEST_OK(ctx, sqz_run_recipe(h, recipe, NULL));
    eval_same(g, h, 7, TOLERANCE);
    SQZ_EACH_NODE(h, id) { n += !sqz_nod(h, id)->layout; }
    if (n != nodes) {
        sqz_str s = {.ctx = ctx};
        (void)sqz_graph_print(h, 8, &s);
        fail_msg("%u nodes, expected %u:\n%s", n, nodes, s.data);
    }
    sqz_graph_free(g);
    return h;
}

static void expect(const char *text, const char *recipe, unsigned nodes)
{
    sqz_ctx *ctx = test_ctx();
    sqz_graph_free(after(ctx, text, recipe, nodes));
    sqz_ctx_free(ctx);
}

#define X "graph \"\"\ninput x f32 1x2x5x4\n"
#define W "const w f32 3x2x2x1 = 1 -2 3 4 5 -6 0.5 0.25 1 0.125 -1 2\n"
#define B "const b f32 3 = 0.5 -0.25 1\n"
#define STATS                                                                                      \
    "const s f32 3 = 1.5 -2 0.5\nconst t f32 3 = 0.1 0.2 -0.3\n"                                   \
    "const m f32 3 = 1 -1 2\nconst v f32 3 = 4 0.01 0.5\n"
#define FOLD "layout,fold_bn,dce"

static void test_batch_norm_folds_into_a_convolution(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = after(ctx,
                         X W STATS "a = conv2d(x, w) @c pads=1,0,0,1\n"
                                   "y = batch_norm(a, s, t, m, v) epsilon=0.001\n"
                                   "z = relu(y)\noutput z\n",
                         FOLD, 2);
    sqz_vid y = sqz_graph_find(g, "y"); /* the convolution took over the name */
    assert_string_equal(sqz_nod(g, sqz_val(g, y)->producer)->name, "c");
    assert_true(sqz_graph_find(g, "a") == SQZ_NONE && sqz_graph_find(g, "s") == SQZ_NONE);
    assert_true(sqz_graph_find(g, "c_bias") != SQZ_NONE);
    assert_true(g->have & SQZ_HAS_FOLDED);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
    expect(X W B STATS "a = conv2d(x, w, b)\ny = batch_norm(a, s, t, m, v)\noutput y\n", FOLD, 1);
}

static void test_batch_norm_folds_into_other_linear_operators(void **state)
{
    (void)state;
    expect(
        "graph \"\"\ninput x f32 1x3x5x4\nconst w f32 3x1x2x2 = 1 2 3 4 5 6 7 8 9 10 11 12\n" STATS
        "a = dwconv2d(x, w)\ny = batch_norm(a, s, t, m, v)\noutput y\n",
        FOLD, 1);
    expect("graph \"\"\ninput x f32 4x2\nconst w f32 3x2 = 1 2 3 4 5 6\n" STATS
           "a = gemm(x, w)\ny = batch_norm(a, s, t, m, v)\noutput y\n",
           FOLD, 1);
    expect("graph \"\"\ninput x f32 4x2\nconst w f32 2x3 = 1 2 3 4 5 6\n" STATS
           "a = matmul(x, w)\ny = batch_norm(a, s, t, m, v)\noutput y\n",
           FOLD, 1);
    expect(
        "graph \"\"\ninput x f32 1x2x5x4\nconst w f32 2x3x1x2 = 1 2 3 4 5 6 7 8 9 10 11 12\n" STATS
        "a = conv_transpose(x, w) strides=2,2\ny = batch_norm(a, s, t, m, v)\noutput y\n",
        FOLD, 1);
}

/* Output channels of a grouped transposed convolution share the axis of the weights. */
static void test_grouped_transposed_convolutions_scale_by_group(void **state)
{
    (void)state;
    expect("graph \"\"\ninput x f32 1x4x3x3\nconst w f32 4x2x1x1 = 1 2 3 4 5 6 7 8\n"
           "const k f32 4x1x1 = 1 10 -100 1000\n"
           "a = conv_transpose(x, w) group=2\ny = mul(a, k)\noutput y\n",
           FOLD, 1);
}

/* y = (a - m) / sqrt(v + e) * s + t: over data of mean m and variance v, mean t and deviation
 * |s| sqrt(v / (v + e)). */
static void expect_normal(const sqz_graph *g, const char *name, const double *mean,
                          const double *sd)
{
    const sqz_normal *n = sqz_val(g, sqz_graph_find(g, name))->normal;
    assert_non_null(n);
    assert_int_equal(n->n, 3);
    for (unsigned i = 0; i < 3; i++) {
        TEST_NEAR((double)n->mean[i], mean[i], 1e-6);
        TEST_NEAR((double)n->sd[i], sd[i], 1e-6);
    }
}

static void test_statistics_of_batch_norms_are_kept(void **state)
{
    (void)state;
    static const double s[] = {1.5, -2, 0.5}, v[] = {4, 0.01, 0.5}, k[] = {2, -3, 0.5};
    static const double t[] = {0.1, 0.2, -0.3}, minus[] = {-0.1, -0.2, 0.3};
    double sd[3], scaled[3], mean[3];
    for (int i = 0; i < 3; i++) {
        sd[i] = fabs(s[i]) * sqrt(v[i] / (v[i] + 0.25));
        scaled[i] = sd[i] * fabs(k[i]);
        mean[i] = t[i] * k[i] + k[i];
    }
#define NORM "y = batch_norm(a, s, t, m, v) epsilon=0.25\n"
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = after(ctx, X W STATS "a = conv2d(x, w)\n" NORM "z = relu(y)\noutput z\n", FOLD,
                         2),
              *h;
    expect_normal(g, "y", t, sd);
    assert_null(sqz_val(g, sqz_graph_find(g, "z"))->normal);
    TEST_OK(ctx, sqz_graph_clone(g, &h));
    sqz_graph_free(g);
    expect_normal(h, "y", t, sd);
    sqz_graph_free(h);
    /* what folds after it moves them on */
    g = after(ctx,
              X W STATS "const k f32 3x1x1 = 2 -3 0.5\na = conv2d(x, w)\n" NORM
                        "q = mul(y, k)\nr = add(q, k)\noutput r\n",
              FOLD, 1);
    expect_normal(g, "r", mean, scaled);
    sqz_graph_free(g);
    g = after(ctx,
              X W STATS "const o f32 scalar = 0\na = conv2d(x, w)\n" NORM
                        "q = sub(o, y)\noutput q\n",
              FOLD, 1);
    expect_normal(g, "q", minus, sd);
    sqz_graph_free(g);
    /* also of one that stays */
    g = after(ctx, X W STATS "b = conv2d(x, w)\na = relu(b)\n" NORM "output y\n", FOLD, 3);
    expect_normal(g, "y", t, sd);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_statistics_must_fit_and_be_finite(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = NULL;
    TEST_OK(ctx, sqz_graph_parse(ctx, "graph \"\"\ninput x f32 2x3\noutput x\n", &g));
    static const float mean[] = {0, 1, 2}, bad[] = {1, -1, 1}, nan[] = {1, 1, NAN};
    sqz_vid x = sqz_graph_find(g, "x");
    TEST_FAILS(ctx, sqz_value_set_normal(g, x, 2, mean, mean), SQZ_E_SHAPE, "last dimension is 3");
    TEST_FAILS(ctx, sqz_value_set_normal(g, x, 3, mean, bad), SQZ_E_ARG, "deviation -1");
    TEST_FAILS(ctx, sqz_value_set_normal(g, x, 3, nan, mean), SQZ_E_ARG, "channel 2");
    assert_null(sqz_val(g, x)->normal);
    sqz_graph_free(g);
    TEST_FAILS(ctx,
               sqz_graph_parse(ctx, "graph \"\"\ninput x f32 2x3 normal [1@1]\noutput x\n", &g),
               SQZ_E_SHAPE, "line 2");
    sqz_ctx_free(ctx);
}

static void test_batch_norm_stays_where_it_cannot_fold(void **state)
{
    (void)state;
    /* after something that is not linear */
    expect("graph \"\"\ninput x f32 1x3x5x4\n" STATS
           "a = relu(x)\ny = batch_norm(a, s, t, m, v)\noutput y\n",
           FOLD, 2);
    /* the convolution's own result is wanted, too */
    expect(X W STATS "a = conv2d(x, w)\ny = batch_norm(a, s, t, m, v)\noutput y, a\n", FOLD, 2);
    expect(X W STATS "a = conv2d(x, w)\ny = batch_norm(a, s, t, m, v)\nz = add(a, y)\noutput z\n",
           FOLD, 3);
    /* weights that are no constant */
    expect("graph \"\"\ninput x f32 1x2x5x4\ninput w f32 3x2x1x1\n" STATS
           "a = conv2d(x, w)\ny = batch_norm(a, s, t, m, v)\noutput y\n",
           FOLD, 2);
    /* a scale that is not finite */
    expect(X W "const s f32 3 = 1 1 1\nconst z f32 3 = 0 0 0\nconst v f32 3 = 1 1 3e38\n"
               "const m f32 3 = 0 0 3e38\nconst i f32 3 = 3e38 3e38 3e38\n"
               "const k f32 3x1x1 = 1 inf 1\n"
               "a = conv2d(x, w)\nr = sigmoid(a)\nb = conv2d(x, w)\nc = div(b, k)\noutput r, c\n",
           FOLD, 3); /* 1 / inf is 0: that one folds */
}

static void test_shared_weights_are_copied_before_they_change(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = after(ctx,
                         X W B STATS
                         "a = conv2d(x, w, b)\nc = conv2d(x, w, b)\n"
                         "y = batch_norm(a, s, t, m, v)\nz = batch_norm(c, s, t, m, v)\n"
                         "d = conv2d(x, w, b)\noutput y, z, d\n",
                         FOLD, 3);
    assert_true(SQZ_F32P(sqz_val(g, sqz_graph_find(g, "w"))->constant)[0] == 1);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_arithmetic_per_channel_folds(void **state)
{
    (void)state;
    static const char *const line[] = {
        "const k f32 3x1x1 = 2 -3 0.5\ny = mul(a, k)",
        "const k f32 1x3x1x1 = 2 -3 0.5\ny = mul(k, a)",
        "const k f32 scalar = 2.5\ny = mul(a, k)",
        "const k f32 3x1x1 = 2 -3 0.5\ny = add(k, a)",
        "const k f32 3x1x1 = 2 -3 0.5\ny = sub(a, k)",
        "const k f32 3x1x1 = 2 -3 0.5\ny = sub(k, a)",
        "const k f32 3x1x1 = 2 -3 0.5\ny = div(a, k)",
        "const k f32 3x1x1 = 2 -3 0.5\nq = mul(a, k)\nr = add(q, k)\ny = sub(k, r)",
    };
    static const char *const stay[] = {
        "const k f32 4 = 1 2 3 4\ny = mul(a, k)",           /* per column */
        "const k f32 4x1 = 1 2 3 4\ny = mul(a, k)",         /* per row */
        "const k f32 2x3x1x1 = 1 2 3 4 5 6\ny = mul(a, k)", /* grows */
        "y = mul(a, a)",
    };
    char text[600];
    for (size_t i = 0; i < SQZ_COUNT(line) + SQZ_COUNT(stay); i++) {
        bool folds = i < SQZ_COUNT(line);
        for (int bias = 0; bias < 2; bias++) {
            (void)snprintf(text, sizeof text, X W B "a = conv2d(x, w%s)\n%s\noutput y\n",
                           bias ? ", b" : "", folds ? line[i] : stay[i - SQZ_COUNT(line)]);
            expect(text, FOLD, folds ? 1 : 2);
        }
    }
    /* k / a is not affine; the sigmoid tames its pole */
    expect(X W "const k f32 3x1x1 = 2 -3 0.5\na = conv2d(x, w)\nb = div(k, a)\ny = sigmoid(b)\n"
               "output y\n",
           FOLD, 3);
}

static void test_matrix_products_get_their_bias(void **state)
{
    (void)state;
    static const char m[] = "graph \"\"\ninput x f32 4x2\nconst w f32 2x3 = 1 2 3 4 5 6\n"
                            "const k f32 3 = 1 2 -3\nconst o f32 1x3 = 5 6 7\n";
    char text[600];
    sqz_ctx *ctx = test_ctx();
    (void)snprintf(text, sizeof text, "%sa = matmul(x, w) @mm\ny = add(a, k)\noutput y\n", m);
    sqz_graph *g = after(ctx, text, FOLD, 1);
    assert_string_equal(sqz_nod(g, g->first)->op->info.name, "gemm");
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
    (void)snprintf(text, sizeof text,
                   "%sa = matmul(x, w)\nb = mul(a, o)\ny = sub(b, k)\noutput y\n", m);
    expect(text, FOLD, 1);
    /* rows of rows stay a matmul */
    expect("graph \"\"\ninput x f32 1x4x2\nconst w f32 2x3 = 1 2 3 4 5 6\nconst k f32 3 = 1 2 -3\n"
           "a = matmul(x, w)\nb = mul(a, k)\ny = add(b, k)\noutput y\n",
           FOLD, 1);
    /* stacks of right sides: only factors fold */
    expect("graph \"\"\ninput x f32 2x1x2\nconst w f32 2x2x3 = 1 2 3 4 5 6 7 8 9 1 2 3\n"
           "const k f32 3 = 1 2 -3\na = matmul(x, w)\nb = mul(a, k)\ny = add(b, k)\noutput y\n",
           FOLD, 2);
}

#define G                                                                                          \
    "graph \"\"\ninput x f32 1x8\nconst r f32 1 = 1.4142135\nconst i f32 1 = 0.70710677\n"         \
    "const o f32 1 = 1\nconst h f32 1 = 0.5\nconst t f32 1 = 2\n"

static void test_the_parts_of_gelu_become_one_node(void **state)
{
    (void)state;
    static const char *const form[] = {
        "a = div(x, r)\ne = erf(a)\ns = add(e, o)\nm = mul(x, s)\ny = mul(m, h)\noutput y\n",
        "a = mul(i, x)\ne = erf(a)\ns = add(o, e)\nm = mul(s, x)\ny = div(m, t)\noutput y\n",
        "a = mul(x, i)\ne = erf(a)\ns = add(e, o)\nm = mul(s, h)\ny = mul(x, m)\noutput y\n",
        "b = mul(x, h)\na = div(x, r)\ne = erf(a)\ns = add(e, o)\ny = mul(b, s)\noutput y\n"};
    static const char *const other[] = {
        "a = div(x, t)\ne = erf(a)\ns = add(e, o)\nm = mul(x, s)\ny = mul(m, h)\noutput y\n",
        "a = div(x, r)\ne = erf(a)\ns = add(e, h)\nm = mul(x, s)\ny = mul(m, h)\noutput y\n",
        "a = div(x, r)\ne = erf(a)\ns = add(e, o)\nm = mul(x, s)\ny = mul(m, i)\noutput y\n",
        "a = div(x, r)\ne = erf(a)\ns = add(e, o)\nm = mul(s, s)\ny = mul(m, h)\noutput y\n",
        "a = div(x, r)\ne = erf(a)\ns = add(e, o)\nm = mul(x, s)\ny = mul(m, h)\noutput y, s\n"};
    sqz_ctx *ctx = test_ctx();
    char text[700];
    for (size_t i = 0; i < SQZ_COUNT(form); i++) {
        (void)snprintf(text, sizeof text, "%s%s", G, form[i]);
        sqz_graph *g = after(ctx, text, "fuse_gelu,dce", 1);
        assert_string_equal(sqz_nod(g, g->first)->op->info.name, "gelu");
        assert_string_equal(sqz_val(g, g->output[0])->name, "y");
        sqz_graph_free(g);
    }
    sqz_ctx_free(ctx);
    for (size_t i = 0; i < SQZ_COUNT(other); i++) {
        (void)snprintf(text, sizeof text, "%s%s", G, other[i]);
        expect(text, "fuse_gelu,dce", 5);
    }
}

#undef G
#define G                                                                                          \
    "graph \"\"\ninput x f32 1x8\nconst t f32 1 = 3\nconst s f32 1 = 6\nconst i f32 1 = "          \
    "0.16666667\n"

static void test_the_parts_of_hard_swish_become_one_node(void **state)
{
    (void)state;
    static const char *const form[] = {
        "a = add(x, t)\nc = clip(a) min=0 max=6\nm = mul(x, c)\ny = div(m, s)\noutput y\n",
        "a = add(t, x)\nc = clip(a) min=0 max=6\nm = mul(c, x)\ny = mul(i, m)\noutput y\n",
        "a = add(x, t)\nc = clip(a) min=0 max=6\nd = div(c, s)\ny = mul(d, x)\noutput y\n",
        "a = add(x, t)\nc = clip(a) min=0 max=6\nd = mul(x, i)\ny = mul(d, c)\noutput y\n",
        "h = hard_sigmoid(x) alpha=0.16666667\ny = mul(x, h)\noutput y\n"};
    static const char *const other[] = {
        "a = add(x, t)\nc = clip(a) min=0 max=6\nm = mul(x, c)\ny = div(m, t)\noutput y\n",
        "a = add(x, s)\nc = clip(a) min=0 max=6\nm = mul(x, c)\ny = div(m, s)\noutput y\n",
        "a = add(x, t)\nc = clip(a) min=0 max=3\nm = mul(x, c)\ny = div(m, s)\noutput y\n",
        "a = add(x, t)\nc = clip(a) min=0 max=6\nm = mul(a, c)\ny = div(m, s)\noutput y\n",
        "a = add(x, t)\nc = clip(a) min=0 max=6\nm = mul(x, c)\ny = div(m, s)\noutput y, m\n"};
    sqz_ctx *ctx = test_ctx();
    char text[700];
    for (size_t i = 0; i < SQZ_COUNT(form); i++) {
        (void)snprintf(text, sizeof text, "%s%s", G, form[i]);
        sqz_graph *g = after(ctx, text, "fuse_hard_swish,dce", 1);
        assert_string_equal(sqz_nod(g, g->first)->op->info.name, "hard_swish");
        assert_string_equal(sqz_val(g, g->output[0])->name, "y");
        sqz_graph_free(g);
    }
    sqz_ctx_free(ctx);
    for (size_t i = 0; i < SQZ_COUNT(other); i++) {
        (void)snprintf(text, sizeof text, "%s%s", G, other[i]);
        expect(text, "fuse_hard_swish,dce", 4);
    }
}

static void test_constants_fold_unless_they_explode(void **state)
{
    (void)state;
    expect("graph \"\"\ninput x f32 3\nconst k f32 3 = 1 -2 3\na = relu(k)\nb = mul(a, a)\n"
           "y = add(x, b)\noutput y, a\n",
           "fold_const", 1);
    expect("graph \"\"\nconst k f32 1 = 3\na = tile(k) repeats=2000000\noutput a\n", "fold_const",
           1); /* 8 MB from 4 bytes */
    expect("graph \"\"\nconst k f32 1 = 3\na = tile(k) repeats=1000\noutput a\n", "fold_const", 0);
}

static void test_dead_code_goes(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = after(ctx,
                         "graph \"\"\ninput x f32 3\ninput unused f32 2\nconst k f32 3 = 1 -2 3\n"
                         "a = relu(x)\nb = mul(a, k)\nc = relu(b)\noutput a\n",
                         "dce", 1);
    assert_true(sqz_graph_find(g, "k") == SQZ_NONE && sqz_graph_find(g, "c") == SQZ_NONE);
    assert_int_equal(g->n_input, 2); /* the interface stays */
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_equal_constants_become_one(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = after(ctx,
                         "graph \"\"\ninput x f32 2\nconst a f32 2 = 1 2\nconst b f32 2 = 1 2\n"
                         "const c f32 1x2 = 1 2\nconst d f32 2 = 1 3\nconst e f32 2 = 1 2\n"
                         "p = add(x, a)\nq = add(p, b)\nr = add(q, c)\ns = add(r, d)\n"
                         "output s, e\n",
                         "dedupe", 4);
    assert_true(sqz_graph_find(g, "a") != SQZ_NONE && sqz_graph_find(g, "b") == SQZ_NONE);
    assert_true(sqz_graph_find(g, "c") != SQZ_NONE && sqz_graph_find(g, "d") != SQZ_NONE);
    assert_true(sqz_graph_find(g, "e") != SQZ_NONE);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

/* The canonical recipe on random chains of convolutions and what usually follows them. */
static void test_random_chains_compute_the_same(void **state)
{
    (void)state;
    static const char *const after_conv[] = {"%s = batch_norm(%s, s, t, m, v)\n",
                                             "%s = mul(%s, k)\n",
                                             "%s = add(%s, k)\n",
                                             "%s = sub(k, %s)\n",
                                             "%s = relu(%s)\n",
                                             "%s = div(%s, k)\n",
                                             "%s = add(%s, one)\n"};
    sqz_ctx *ctx = test_ctx();
    for (uint64_t seed = 1; seed <= 200; seed++) {
        sqz_rng r = {.seed = seed};
        sqz_str text = {.ctx = ctx};
        char name[2][16] = {"x", "x"};
        sqz_graph *g = NULL, *h = NULL;
        sqz_str_add(&text, "graph \"\"\ninput x f32 1x3x4x4\n"
                           "const w f32 3x3x1x1 = 1 -0.5 0.25 2 0.5 1 -1 0.75 0.125\n"
                           "const k f32 3x1x1 = 0.5 -1.5 2\nconst one f32 scalar = 1\n" STATS);
        for (int i = 0; i < 12; i++) {
            char next[16];
            (void)snprintf(next, sizeof next, "v%d", i);
            if (sqz_rng_below(&r, 3) == 0)
                sqz_str_addf(&text, "%s = conv2d(%s, w)\n", next, name[0]);
            else if (sqz_rng_below(&r, 8) == 0)
                sqz_str_addf(&text, "%s = add(%s, %s)\n", next, name[0], name[1]);
            else
                sqz_str_addf(&text, after_conv[sqz_rng_below(&r, SQZ_COUNT(after_conv))], next,
                             name[0]);
            if (sqz_rng_below(&r, 4) == 0)
                memcpy(name[1], name[0], sizeof next);
            memcpy(name[0], next, sizeof next);
        }
        sqz_str_addf(&text, "output %s, %s\n", name[0], name[1]);
        TEST_OK(ctx, sqz_graph_parse(ctx, text.data, &g));
        TEST_OK(ctx, sqz_graph_clone(g, &h));
        TEST_OK(ctx, sqz_run_recipe(h, SQZ_CANONICAL ",dedupe", NULL));
        eval_same(g, h, seed, 1e-4); /* a dozen roundings, some after cancellation */
        sqz_graph_free(g);
        sqz_graph_free(h);
        sqz_str_free(&text);
    }
    sqz_ctx_free(ctx);
}

static void test_recipes_are_refused_before_they_change_anything(void **state)
{
    (void)state;
    static const struct {
        const char *recipe, *part;
    } row[] = {
        {"dce,fold_bn", "pass 'fold_bn' needs layout: put 'layout' before it"},
        {"layuot", "did you mean 'layout'?"},
        {"dce,", "expected at the end"},
        {"dce dce", "',' is expected"},
        {"dce(", "not closed"},
        {"dce(bits=3)", "bits"},
        {",dce", "the name of a pass"},
    };
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = NULL;
    TEST_OK(ctx, sqz_graph_parse(ctx, "graph \"\"\ninput x f32 3\na = relu(x)\noutput x\n", &g));
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        sqz_status s = sqz_run_recipe(g, row[i].recipe, NULL);
        if (s == SQZ_OK || !strstr(sqz_last_error(ctx), row[i].part))
            fail_msg("'%s': status %d, '%s'", row[i].recipe, (int)s, sqz_last_error(ctx));
        assert_true(g->first != SQZ_NONE); /* dce did not run */
    }
    TEST_OK(ctx, sqz_run_recipe(g, " dce ( ) , layout ", NULL));
    assert_true(g->first == SQZ_NONE);
    TEST_OK(ctx, sqz_run_recipe(g, "", NULL));
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_norm_folds_into_a_convolution),
        cmocka_unit_test(test_batch_norm_folds_into_other_linear_operators),
        cmocka_unit_test(test_grouped_transposed_convolutions_scale_by_group),
        cmocka_unit_test(test_statistics_of_batch_norms_are_kept),
        cmocka_unit_test(test_statistics_must_fit_and_be_finite),
        cmocka_unit_test(test_batch_norm_stays_where_it_cannot_fold),
        cmocka_unit_test(test_shared_weights_are_copied_before_they_change),
        cmocka_unit_test(test_arithmetic_per_channel_folds),
        cmocka_unit_test(test_matrix_products_get_their_bias),
        cmocka_unit_test(test_the_parts_of_gelu_become_one_node),
        cmocka_unit_test(test_the_parts_of_hard_swish_become_one_node),
        cmocka_unit_test(test_constants_fold_unless_they_explode),
        cmocka_unit_test(test_dead_code_goes),
        cmocka_unit_test(test_equal_constants_become_one),
        cmocka_unit_test(test_random_chains_compute_the_same),
        cmocka_unit_test(test_recipes_are_refused_before_they_change_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
