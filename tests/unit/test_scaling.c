/* Channels that may be scaled: any factors leave the outputs as they are. Equalization: ranges of
 * neighboring layers become equal, clips and dead channels are kept, biases absorbed. */
#include "io/import.h"
#include "net.h"
#include "quant/scaling.h"
#include <unistd.h>

#define TOLERANCE                                                                                  \
    2e-5 /* of the largest output: each weight is rounded once more, sums reorder nothing */

static void compare(const sqz_graph *f, const sqz_graph *g, sqz_dataset *ds, double tolerance)
{
    size_t n, m;
    float *a = net_run(f, ds, 0, &n), *b = net_run(g, ds, 0, &m);
    double most = 0, off = 0;
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++) {
        assert_true(isfinite(b[i]));
        most = fmax(most, fabs((double)a[i]));
        off = fmax(off, fabs((double)a[i] - (double)b[i]));
    }
    assert_true(most > 0);
    if (!(off <= tolerance * most))
        fail_msg("outputs differ by %g of %g", off, most);
    free(a);
    free(b);
}

/* Also when g is written to a file and read again: constants are in the file's layout there. */
static void expect_same(const sqz_graph *f, const sqz_graph *g, sqz_dataset *ds, double tolerance)
{
    char path[] = "/tmp/sqz_scaling_XXXXXX";
    const sqz_import_options o = {.path = path};
    sqz_import_source source = {0};
    sqz_graph *read;
    void *bytes;
    size_t n;
    compare(f, g, ds, tolerance);
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    TEST_OK(g->ctx, sqz_export_onnx(g, &bytes, &n));
    TEST_OK(g->ctx, sqz_file_write(g->ctx, path, bytes, n));
    sqz_free(g->ctx, bytes);
    TEST_OK(g->ctx, sqz_import_file(g->ctx, &o, &source, &read));
    unlink(path);
    TEST_OK(g->ctx, sqz_run_recipe(read, SQZ_CANONICAL, NULL));
    compare(f, read, ds, fmax(tolerance, 1e-5));
    sqz_graph_free(read);
}

/* Spreads the rows of a constant (along axis 0) over four decades. */
static void spread(net *n, const char *name)
{
    const sqz_value *v = sqz_val(n->g, sqz_graph_find(n->g, name));
    const size_t rows = (size_t)v->shape.dim[0], per = v->constant->count / rows;
    for (size_t r = 0; r < rows; r++) {
        const double by = pow(10, 2 * sqz_rng_uniform(&n->r) - 1);
        for (size_t i = 0; i < per; i++)
            SQZ_F32P(v->constant)[r * per + i] *= (float)by;
    }
}

static sqz_vid dw(net *n, const char *name, sqz_vid x)
{
    const int64_t c = sqz_val(n->g, x)->shape.dim[1];
    char w[64], b[64];
    (void)snprintf(w, sizeof w, "%s.w", name);
    (void)snprintf(b, sizeof b, "%s.b", name);
    sqz_vid in[3] = {x, net_const(n, w, (sqz_shape){4, {c, 1, 3, 3}}, 0.5),
                     net_const(n, b, (sqz_shape){1, {c}}, 0.2)};
    return net_node(n, "dwconv2d", name, "pads=1,1,1,1", 3, in);
}

static sqz_vid fc(net *n, const char *name, sqz_vid x, int64_t in, int64_t out)
{
    char w[64], b[64];
    (void)snprintf(w, sizeof w, "%s.w", name);
    (void)snprintf(b, sizeof b, "%s.b", name);
    sqz_vid v[3] = {x, net_const(n, w, (sqz_shape){2, {out, in}}, 0.3),
                    net_const(n, b, (sqz_shape){1, {out}}, 0.1)};
    return net_node(n, "gemm", name, "", 3, v);
}

/* Everything that channels go through: depthwise, residual, concat, pools, prelu, flatten. */
static void build_cnn(net *n)
{
    sqz_vid x = net_input(n, (sqz_shape){4, {1, 3, 8, 8}});
    sqz_vid a = net_unary(n, "relu", "ra", "", net_conv(n, "a", x, 8, 3));
    sqz_vid d = net_unary(n, "leaky_relu", "rd", "alpha=0.1", dw(n, "d", a));
    sqz_vid e = net_conv(n, "e", d, 8, 1);
    sqz_vid r = net_unary(n, "relu", "rr", "", net_binary(n, "add", "sum", a, e));
    sqz_vid slope = net_const(n, "slope", (sqz_shape){3, {6, 1, 1}}, 0.3);
    sqz_vid p = net_node(n, "prelu", "p", "", 2, (sqz_vid[2]){net_conv(n, "f", r, 6, 3), slope});
    sqz_vid q = net_conv(n, "q", r, 5, 1);
    sqz_vid c = net_node(n, "concat", "cat", "axis=1", 2, (sqz_vid[2]){p, q});
    sqz_vid m = net_unary(n, "max_pool", "mp", "kernel_shape=2,2 strides=2,2", c);
    sqz_vid g = net_conv(n, "g", m, 4, 1);
    sqz_vid flat = net_unary(n, "flatten", "flat", "", net_unary(n, "relu", "rg", "", g));
    sqz_vid y = fc(n, "fc2", net_unary(n, "relu", "rf", "", fc(n, "fc1", flat, 64, 10)), 10, 4);
    static const char *const rows[] = {"a.w", "d.w", "e.w", "f.w", "q.w", "g.w", "fc1.w"};
    for (size_t i = 0; i < SQZ_COUNT(rows); i++)
        spread(n, rows[i]);
    net_finish(n, 1, &y);
}

/* A transformer block: normalization, heads, a residual, two layers with gelu between. */
static void build_transformer(net *n)
{
    enum { T = 5, E = 8, H = 2 };
    sqz_vid x = net_input(n, (sqz_shape){3, {1, T, E}});
    sqz_vid gain = net_const(n, "gain", (sqz_shape){1, {E}}, 1);
    sqz_vid shift = net_const(n, "shift", (sqz_shape){1, {E}}, 1);
    sqz_vid ln = net_node(n, "layer_norm", "ln", "", 3, (sqz_vid[3]){x, gain, shift});
    sqz_vid part[3];
    static const char *const name[3] = {"wq", "wk", "wv"};
    for (int i = 0; i < 3; i++) {
        char t[32];
        sqz_vid w = net_const(n, name[i], (sqz_shape){2, {E, E}}, 0.4);
        sqz_vid b = net_const(n, "b", (sqz_shape){1, {E}}, 0.4);
        (void)snprintf(t, sizeof t, "m%d", i);
        sqz_vid m = net_binary(n, "matmul", t, ln, w);
        (void)snprintf(t, sizeof t, "a%d", i);
        m = net_binary(n, "add", t, m, b);
        (void)snprintf(t, sizeof t, "r%d", i);
        m = net_unary(n, "reshape", t, "shape=1,5,2,4", m);
        (void)snprintf(t, sizeof t, "t%d", i);
        part[i] = net_unary(n, "transpose", t, i == 1 ? "perm=0,2,3,1" : "perm=0,2,1,3", m);
    }
    sqz_vid s = net_unary(n, "softmax", "soft", "",
                          net_binary(n, "matmul", "qk", part[0], part[1]));
    sqz_vid o = net_binary(n, "matmul", "sv", s, part[2]);
    o = net_unary(n, "transpose", "to", "perm=0,2,1,3", o);
    o = net_unary(n, "reshape", "ro", "shape=1,5,8", o);
    o = net_binary(n, "matmul", "proj", o, net_const(n, "wo", (sqz_shape){2, {E, E}}, 0.4));
    sqz_vid sum = net_binary(n, "add", "res", x, o);
    sqz_vid k = net_binary(n, "mul", "scaled", sum, net_const(n, "k", (sqz_shape){1, {1}}, 1));
    sqz_vid h = net_binary(n, "matmul", "up", k, net_const(n, "wu", (sqz_shape){2, {E, 12}}, 0.4));
    h = net_unary(n, "gelu", "act", "", h);
    sqz_vid y = net_binary(n, "matmul", "down", h,
                           net_const(n, "wd", (sqz_shape){2, {12, 3}}, 0.4));
    net_finish(n, 1, &y);
}

/* How many classes could be scaled, all by random factors of 1/30 .. 30. */
static uint32_t scale_at_random(sqz_graph *g, uint64_t seed)
{
    sqz_arena a = {.ctx = g->ctx};
    sqz_scaling k;
    sqz_rng r = {.seed = seed};
    uint32_t changed;
    TEST_OK(g->ctx, sqz_scaling_find(g, &a, &k));
    sqz_scaling_hold_clips(&k);
    for (uint32_t c = 0; c < k.n; c++)
        k.s[c] = exp(3.4 * (2 * sqz_rng_uniform(&r) - 1));
    TEST_OK(g->ctx, sqz_scaling_apply(&k, &changed));
    TEST_OK(g->ctx, sqz_graph_verify(g));
    sqz_arena_free(&a);
    return changed;
}

static void check_any_factors(void (*build)(net *), uint32_t classes)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        net n = net_begin(seed);
        build(&n);
        sqz_dataset ds = net_data(&n, 6);
        sqz_graph *h;
        TEST_OK(n.ctx, sqz_graph_clone(n.g, &h));
        assert_int_equal(scale_at_random(h, seed), classes);
        expect_same(n.g, h, &ds, TOLERANCE);
        sqz_graph_free(h);
        net_data_free(&ds);
        net_end(&n);
    }
}

/* a+e: 8, d: 8, f: 6, q: 5, g: 4 by 16 places, fc1: 10 */
static void test_any_factors_leave_a_cnn_as_it_is(void **state)
{
    (void)state;
    check_any_factors(build_cnn, 8 + 8 + 6 + 5 + 4 + 10);
}

/* The normalization's 8 and the values' 8 (through both transposes), and the 8 of the operand k,
 * which becomes a vector. Queries, keys and what gelu reads are fixed. */
static void test_any_factors_leave_a_transformer_as_it_is(void **state)
{
    (void)state;
    check_any_factors(build_transformer, 8 + 8 + 8);
}

/* ---- equalization ---- */

static void equalize(net *n, sqz_dataset *ds, const char *recipe, sqz_graph **out)
{
    sqz_env env = {.calib = ds};
    TEST_OK(n->ctx, sqz_graph_clone(n->g, out));
    TEST_OK(n->ctx, sqz_run_recipe(*out, recipe, &env));
}
#define CLE(options) "fold_bn,cle(" options ")"

/* Largest magnitude of row r of a constant, or of column r of its last axis. */
static double row_of(const sqz_graph *g, const char *name, size_t r, bool column)
{
    const sqz_tensor *t = sqz_val(g, sqz_graph_find(g, name))->constant;
    const size_t last = (size_t)t->shape.dim[t->shape.rank - 1];
    const size_t per = t->count / (size_t)t->shape.dim[0];
    double most = 0;
    for (size_t i = 0; i < t->count; i++)
        if ((column ? i % last : i / per) == r)
            most = fmax(most, fabs((double)SQZ_F32P(t)[i]));
    return most;
}

static void test_ranges_become_equal(void **state)
{
    (void)state;
    net n = net_begin(3);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 8, 8}});
    sqz_vid a = net_unary(&n, "relu", "ra", "", net_conv(&n, "a", x, 8, 3));
    sqz_vid d = net_unary(&n, "relu", "rd", "", dw(&n, "d", a));
    sqz_vid y = net_conv(&n, "e", d, 4, 1);
    spread(&n, "a.w");
    spread(&n, "d.w");
    net_finish(&n, 1, &y);
    sqz_dataset ds = net_data(&n, 6);
    sqz_graph *h;
    equalize(&n, &ds, CLE("activations=0"), &h);
    expect_same(n.g, h, &ds, TOLERANCE);
    for (size_t c = 0; c < 8; c++) { /* (r1 r2 r3)^(1/3) for all three */
        const double was = cbrt(row_of(n.g, "a.w", c, false) * row_of(n.g, "d.w", c, false) *
                                row_of(n.g, "e.w", c, true));
        TEST_NEAR(row_of(h, "a.w", c, false) / was, 1, 2e-3);
        TEST_NEAR(row_of(h, "d.w", c, false) / was, 1, 2e-3);
        TEST_NEAR(row_of(h, "e.w", c, true) / was, 1, 2e-3);
    }
    sqz_graph_free(h);
    net_data_free(&ds);
    net_end(&n);
}

static void test_equalization_is_exact(void **state)
{
    (void)state;
    static const char *const recipe[] = {CLE(""), CLE("clip=channel"), CLE("absorb=1"),
                                         CLE("dead=0 sweeps=3")};
    for (uint64_t seed = 5; seed < 9; seed++) {
        net n = net_begin(seed);
        build_cnn(&n);
        sqz_dataset ds = net_data(&n, 8);
        sqz_graph *h;
        equalize(&n, &ds, recipe[seed - 5], &h);
        expect_same(n.g, h, &ds, TOLERANCE);
        sqz_graph_free(h);
        net_data_free(&ds);
        net_end(&n);
    }
}

/* ReLU6 between layers, some channels reach 6, some do not. */
static void build_relu6(net *n)
{
    sqz_vid x = net_input(n, (sqz_shape){4, {1, 3, 8, 8}});
    sqz_vid a = net_unary(n, "clip", "ra", "min=0 max=6", net_conv(n, "a", x, 8, 3));
    sqz_vid d = net_unary(n, "clip", "rd", "min=0 max=6", dw(n, "d", a));
    sqz_vid y = net_conv(n, "e", d, 4, 1);
    spread(n, "a.w");
    spread(n, "d.w");
    net_finish(n, 1, &y);
}

static void test_clips_are_kept(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        for (int channel = 0; channel < 2; channel++) {
            net n = net_begin(seed);
            build_relu6(&n);
            sqz_dataset ds = net_data(&n, 8);
            sqz_graph *h;
            unsigned mins = 0;
            equalize(&n, &ds, channel ? CLE("clip=channel") : CLE("clip=hold"), &h);
            expect_same(n.g, h, &ds, TOLERANCE);
            SQZ_EACH_NODE(h, id) { mins += strcmp(sqz_nod(h, id)->op->info.name, "min") == 0; }
            assert_int_equal(mins, channel ? 2 : 0);
            const double before = row_of(n.g, "a.w", 0, false), after = row_of(h, "a.w", 0, false);
            assert_true(!channel || fabs(after / before - 1) > 0.01);
            sqz_graph_free(h);
            net_data_free(&ds);
            net_end(&n);
        }
}

/* Without data and without batch norms nothing is known of what a clip cuts. */
static void test_without_data_clips_hold(void **state)
{
    (void)state;
    net n = net_begin(2);
    build_relu6(&n);
    sqz_dataset ds = net_data(&n, 8);
    sqz_graph *h;
    equalize(&n, NULL, CLE(""), &h);
    expect_same(n.g, h, &ds, 0);
    sqz_graph_free(h);
    equalize(&n, NULL, CLE("clip=channel"), &h); /* bounds scale along: always right */
    expect_same(n.g, h, &ds, TOLERANCE);
    sqz_graph_free(h);
    net_data_free(&ds);
    net_end(&n);
}

/* Channel 2 of `a` has no weights: 0 behind the relu when its bias is below 0, else a constant. */
static void test_dead_channels_are_cleared(void **state)
{
    (void)state;
    for (int positive = 0; positive < 2; positive++) {
        net n = net_begin(4);
        sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 6, 6}});
        sqz_vid a = net_unary(&n, "relu", "ra", "", net_conv(&n, "a", x, 8, 1));
        sqz_vid e = net_unary(&n, "relu", "re", "", net_conv(&n, "e", a, 5, 1));
        sqz_vid y = net_conv(&n, "f", e, 4, 1);
        for (size_t i = 0; i < 3; i++)
            net_numbers(&n, "a.w")[2 * 3 + i] = 1e-13f;
        net_numbers(&n, "a.b")[2] = positive ? 1.5f : -0.5f;
        for (size_t o = 0; o < 5; o++)
            net_numbers(&n, "e.w")[o * 8 + 2] = 50; /* never trained down */
        for (size_t o = 0; o < 4; o++)
            net_numbers(&n, "f.w")[o * 5 + 3] = 0; /* nobody reads channel 3 of e */
        net_finish(&n, 1, &y);
        sqz_dataset ds = net_data(&n, 6);
        sqz_graph *h;
        equalize(&n, &ds, CLE("sweeps=0"), &h);
        expect_same(n.g, h, &ds, TOLERANCE);
        assert_true(row_of(h, "a.w", 2, false) == 0 && row_of(h, "e.w", 2, true) == 0);
        assert_true(row_of(h, "e.w", 3, false) == 0);
        sqz_graph_free(h);
        equalize(&n, &ds, CLE("sweeps=0 dead=0"), &h);
        assert_true(row_of(h, "e.w", 2, true) == 50);
        sqz_graph_free(h);
        net_data_free(&ds);
        net_end(&n);
    }
}

static void test_high_biases_are_absorbed(void **state)
{
    (void)state;
    net n = net_begin(6);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 6, 6}});
    sqz_vid a = net_unary(&n, "relu", "ra", "", net_conv(&n, "a", x, 4, 1));
    sqz_vid y = net_conv(&n, "e", a, 4, 1);
    net_numbers(&n, "a.b")[1] = 100; /* far above what the weights make */
    net_finish(&n, 1, &y);
    sqz_dataset ds = net_data(&n, 20);
    sqz_graph *h;
    equalize(&n, &ds, CLE("sweeps=0 absorb=1"), &h);
    expect_same(n.g, h, &ds, TOLERANCE);
    const float *b = SQZ_F32P(sqz_val(h, sqz_graph_find(h, "a.b"))->constant);
    assert_true(b[1] > 0 && b[1] < 30);
    for (int c = 0; c < 4; c++)
        assert_true(c == 1 || b[c] == net_numbers(&n, "a.b")[c]);
    sqz_graph_free(h);
    net_data_free(&ds);
    net_end(&n);
}

static void test_statistics_are_scaled_along(void **state)
{
    (void)state;
    static const char text[] =
        "graph \"\"\ninput x f32 1x2x4x4\nconst w f32 2x2x1x1 = 8 1 0.25 0.5\n"
        "const s f32 2 = 1 2\nconst t f32 2 = 0.5 -1\nconst m f32 2 = 0 0\nconst v f32 2 = 1 1\n"
        "const k f32 1x2x1x1 = 0.5 2\n"
        "a = conv2d(x, w)\ny = batch_norm(a, s, t, m, v) epsilon=0\nz = relu(y)\n"
        "o = conv2d(z, k)\noutput o\n";
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g;
    TEST_OK(ctx, sqz_graph_parse(ctx, text, &g));
    TEST_OK(ctx, sqz_run_recipe(g, "layout,fold_bn,cle(activations=0)", NULL));
    const sqz_normal *n = sqz_val(g, sqz_graph_find(g, "y"))->normal;
    const double s0 = sqrt(8 / 0.5), s1 = sqrt(1.0 / 2); /* rows 8, 2*0.5; columns 0.5, 2 */
    TEST_NEAR((double)n->mean[0], 0.5 / s0, 1e-6);
    TEST_NEAR((double)n->sd[0], 1 / s0, 1e-6);
    TEST_NEAR((double)n->mean[1], -1 / s1, 1e-6);
    TEST_NEAR((double)n->sd[1], 2 / s1, 1e-6);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_wrong_places_are_refused(void **state)
{
    (void)state;
    net n = net_begin(1);
    build_relu6(&n);
    sqz_dataset ds = net_data(&n, 4);
    sqz_env env = {.calib = &ds};
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "fold_bn,calib,ptq", &env));
    TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "cle", &env), SQZ_E_ARG, "before 'ptq'");
    net_data_free(&ds);
    net_end(&n);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_factors_leave_a_cnn_as_it_is),
        cmocka_unit_test(test_any_factors_leave_a_transformer_as_it_is),
        cmocka_unit_test(test_ranges_become_equal),
        cmocka_unit_test(test_equalization_is_exact),
        cmocka_unit_test(test_clips_are_kept),
        cmocka_unit_test(test_without_data_clips_hold),
        cmocka_unit_test(test_dead_channels_are_cleared),
        cmocka_unit_test(test_high_biases_are_absorbed),
        cmocka_unit_test(test_statistics_are_scaled_along),
        cmocka_unit_test(test_wrong_places_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
