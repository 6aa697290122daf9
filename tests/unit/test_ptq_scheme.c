/* Schemes of ptq: weights of fewer bits, powers of two, symmetric grids, exceptions by name. */
#include "io/import.h"
#include "ir/qround.h"
#include "net.h"
#include "quant/quantize.h"
#include "quant/wscale.h"
#include <math.h>

static const sqz_shape image = {4, {1, 3, 8, 8}};

static const sqz_value *value(const net *n, const char *name)
{
    sqz_vid v = sqz_graph_find(n->g, name);
    if (v == SQZ_NONE)
        fail_msg("no value '%s'", name);
    return sqz_val(n->g, v);
}

/* three convolutions with clamps, and a pool */
static net small_on(uint64_t seed, uint32_t threads)
{
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    o.threads = threads;
    net n = {.r = {.seed = seed}};
    assert_int_equal(sqz_ctx_create(&o, &n.ctx), SQZ_OK);
    TEST_OK(n.ctx, sqz_graph_create(n.ctx, &n.g));
    sqz_vid x = net_input(&n, image);
    sqz_vid a = net_unary(&n, "relu", "ra", "", net_conv(&n, "a", x, 8, 3));
    sqz_vid b = net_unary(&n, "relu", "rb", "", net_conv(&n, "b", a, 8, 3));
    sqz_vid c = net_unary(&n, "relu", "rc", "", net_conv(&n, "c", b, 12, 1));
    sqz_vid p = net_unary(&n, "global_average_pool", "p", "", c);
    sqz_vid f = net_unary(&n, "flatten", "f", "axis=1", p);
    net_finish(&n, 1, &f);
    return n;
}

static net small(uint64_t seed) { return small_on(seed, 1); }

static sqz_status apply(net *n, const char *recipe)
{
    sqz_dataset calib = net_data(n, 20);
    sqz_env env = {.calib = &calib};
    sqz_status s = sqz_run_recipe(n->g, recipe, &env);
    net_data_free(&calib);
    return s;
}

/* dB of output 0 after the recipe */
static double snr(net *n, const char *recipe)
{
    sqz_dataset test = net_data(n, 16);
    size_t count, again;
    float *before = net_run(n->g, &test, 0, &count);
    TEST_OK(n->ctx, apply(n, recipe));
    float *after = net_run(n->g, &test, 0, &again);
    assert_int_equal(count, again);
    double db = net_snr(before, after, count);
    free(before);
    free(after);
    net_data_free(&test);
    return db;
}

/* A copy of the numbers of a float constant. */
static sqz_tensor floats(const net *n, const char *name)
{
    sqz_tensor t;
    sqz_tensor_share(value(n, name)->constant, &t);
    return t;
}

/* Every code is the nearest one on its channel's grid, whose scale is what the rule says. */
static void check_codes(const net *n, const char *name, const sqz_tensor *w, int limit,
                        sqz_wrule rule)
{
    const sqz_value *v = value(n, name);
    const size_t rows = (size_t)w->shape.dim[0], cols = w->count / rows;
    float *m = malloc(cols * sizeof *m);
    assert_int_equal(v->quant->n, rows);
    assert_int_equal(sqz_quant_limit(v->quant), limit);
    for (size_t r = 0; r < rows; r++) {
        const float *x = SQZ_F32P(w) + r * cols;
        for (size_t c = 0; c < cols; c++)
            m[c] = fabsf(x[c]);
        const float s = sqz_weight_scale(m, cols, limit, rule, false);
        assert_true(v->quant->scale[r] == s && v->quant->zero[r] == 0);
        for (size_t c = 0; c < cols; c++)
            assert_int_equal(sqz_tensor_i64(v->constant, r * cols + c),
                             sqz_qround(x[c], s, 0, -limit, limit));
    }
    free(m);
}

static void test_fewer_bits_are_nearest_codes_of_the_searched_scale(void **state)
{
    (void)state;
    static const struct {
        const char *recipe;
        int limit;
        sqz_wrule rule;
        double db;
    } row[] = {{"calib,ptq(weights=8 ranges=mse)", 127, SQZ_W_MSE, 30},
               {"calib,ptq(weights=4 edges=0)", 7, SQZ_W_MSE, 10},
               {"calib,ptq(weights=4 edges=0 ranges=minmax)", 7, SQZ_W_MINMAX, 8},
               {"calib,ptq(weights=4 edges=0 ranges=lsq)", 7, SQZ_W_LSQ, 8},
               {"calib,ptq(weights=3 edges=0)", 3, SQZ_W_MSE, 5},
               {"calib,ptq(weights=2 edges=0)", 1, SQZ_W_MSE, 0.5}};
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        net n = small(1);
        sqz_tensor w = floats(&n, "b.w");
        const double db = snr(&n, row[i].recipe);
        if (db < row[i].db)
            fail_msg("%s: %.1f dB", row[i].recipe, db);
        check_codes(&n, "b.w", &w, row[i].limit, row[i].rule);
        assert_int_equal(value(&n, "b.w")->dtype, row[i].limit == 127 ? SQZ_S8 : SQZ_S4);
        sqz_tensor_free(n.ctx, &w);
        net_end(&n);
    }
}

/* The kernels unpack them: sums of products as from the same codes in bytes. */
static void test_four_bits_compute_as_the_same_codes_in_bytes(void **state)
{
    (void)state;
    net n = small(2);
    sqz_dataset test = net_data(&n, 8);
    size_t count;
    TEST_OK(n.ctx, apply(&n, "calib,ptq(weights=3 edges=0)"));
    float *packed = net_run(n.g, &test, 0, &count);
    for (sqz_vid v = 0; v < n.g->n_value; v++) {
        const sqz_value *val = sqz_val(n.g, v);
        if (!val->constant || val->dtype != SQZ_S4)
            continue;
        sqz_quant q = *val->quant;
        sqz_tensor t;
        q.dtype = SQZ_S8;
        TEST_OK(n.ctx, sqz_tensor_cast(n.ctx, val->constant, SQZ_S8, &t));
        TEST_OK(n.ctx, sqz_value_set_constant(n.g, v, &t));
        TEST_OK(n.ctx, sqz_value_set_grid(n.g, v, &q));
    }
    TEST_OK(n.ctx, sqz_graph_verify(n.g));
    float *bytes = net_run(n.g, &test, 0, &count);
    assert_memory_equal(packed, bytes, count * sizeof *bytes);
    free(packed);
    free(bytes);
    net_data_free(&test);
    net_end(&n);
}

static void test_the_ends_keep_8_bits_where_they_are_small(void **state)
{
    (void)state;
    net n = small(3); /* 216, 576 and 96 weights */
    TEST_OK(n.ctx, apply(&n, "calib,ptq(weights=4)"));
    assert_int_equal(value(&n, "a.w")->dtype, SQZ_S4); /* a quarter of all */
    assert_int_equal(value(&n, "b.w")->dtype, SQZ_S4);
    net_end(&n);
    n = small(3);
    TEST_OK(n.ctx, apply(&n, "calib,ptq(weights=4 edges=8)"));
    assert_int_equal(value(&n, "a.w")->dtype, SQZ_S8);
    assert_int_equal(value(&n, "b.w")->dtype, SQZ_S4);
    assert_int_equal(value(&n, "c.w")->dtype, SQZ_S8);
    net_end(&n);
}

static void test_exceptions_by_name(void **state)
{
    (void)state;
    net n = small(4);
    TEST_OK(n.ctx, apply(&n, "calib,ptq(weights=4 edges=0 bits=\"b:8, a|c:2, conv2d:float\")"));
    assert_int_equal(value(&n, "b.w")->dtype, SQZ_S8);
    assert_int_equal(sqz_quant_bits(value(&n, "a.w")->quant), 2);
    assert_int_equal(sqz_quant_bits(value(&n, "c.w")->quant), 2);
    net_end(&n);
    n = small(4);
    TEST_OK(n.ctx, apply(&n, "calib,ptq(bits=\"b:float\")"));
    assert_int_equal(value(&n, "b.w")->dtype, SQZ_F32);
    assert_int_equal(value(&n, "a.w")->dtype, SQZ_S8);
    net_end(&n);
}

static void test_powers_of_two_everywhere(void **state)
{
    (void)state;
    net n = small(5);
    assert_true(snr(&n, "calib,ptq(pow2=1)") > 22);
    for (sqz_vid v = 0; v < n.g->n_value; v++) {
        const sqz_quant *q = sqz_val(n.g, v)->quant;
        int e;
        for (uint32_t i = 0; q && i < q->n; i++)
            assert_true(frexpf(q->scale[i], &e) == 0.5f);
    }
    net_end(&n);
}

static void test_symmetric_grids_have_no_zero_points(void **state)
{
    (void)state;
    net n = small(6);
    assert_true(snr(&n, "calib,ptq(symmetric=1)") > 22);
    for (sqz_vid v = 0; v < n.g->n_value; v++) {
        const sqz_quant *q = sqz_val(n.g, v)->quant;
        for (uint32_t i = 0; q && i < q->n; i++)
            assert_int_equal(q->zero[i], 0);
    }
    net_end(&n);
}

/* ---- weights under float nodes ---- */

static const sqz_node *maker(const net *n, sqz_vid v)
{
    sqz_nid id = sqz_val(n->g, v)->producer;
    return id == SQZ_NONE ? NULL : sqz_nod(n->g, id);
}

static bool is_op(const sqz_node *n, const char *op)
{
    return n && strcmp(n->op->info.name, op) == 0;
}

static const sqz_node *node(const net *n, const char *name)
{
    SQZ_EACH_NODE(n->g, id)
    {
        if (strcmp(sqz_nod(n->g, id)->name, name) == 0)
            return sqz_nod(n->g, id);
    }
    fail_msg("no node '%s'", name);
    return NULL;
}

/* The codes that are dequantized for input `slot` of a node. */
static const sqz_value *codes_of(const net *n, const char *name, unsigned slot)
{
    const sqz_node *d = maker(n, node(n, name)->in[slot]);
    if (!is_op(d, "dequantize"))
        fail_msg("input %u of '%s' is not dequantized", slot, name);
    return sqz_val(n->g, d->in[0]);
}

static void test_weights_alone_leave_activations_as_they_are(void **state)
{
    (void)state;
    static const char *const recipe[] = {"ptq(activations=0)",
                                         "ptq(activations=0 weights=4 edges=0)",
                                         "ptq(activations=0 weights=2 edges=0 per_tensor=1)"};
    for (size_t k = 0; k < SQZ_COUNT(recipe); k++) {
        net n = small(10), f = small(10);
        size_t count, again;
        sqz_dataset test = net_data(&n, 6);
        TEST_OK(n.ctx, sqz_run_recipe(n.g, recipe[k], NULL));
        static const char *const name[] = {"a", "b", "c"};
        for (size_t i = 0; i < 3; i++) { /* the float twin gets the rounded weights */
            char w[8];
            (void)snprintf(w, sizeof w, "%s.w", name[i]);
            const sqz_value *c = codes_of(&n, name[i], 1);
            const sqz_quant *q = c->quant;
            const size_t inner = c->constant->count / (size_t)c->shape.dim[0];
            for (size_t j = 0; j < c->constant->count; j++)
                net_numbers(&f, w)[j] = q->scale[q->n == 1 ? 0 : j / inner] *
                                        (float)sqz_tensor_i64(c->constant, j);
        }
        float *got = net_run(n.g, &test, 0, &count), *want = net_run(f.g, &test, 0, &again);
        assert_memory_equal(got, want, count * sizeof *got);
        free(got);
        free(want);
        net_data_free(&test);
        net_end(&n);
        net_end(&f);
    }
}

static void test_blocks_have_their_own_scales(void **state)
{
    (void)state;
    net n = net_begin(11);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 40, 4, 4}});
    sqz_vid a = net_unary(&n, "relu", "ra", "", net_conv(&n, "a", x, 40, 1));
    sqz_vid b = net_conv(&n, "b", a, 6, 3);
    net_finish(&n, 1, &b);
    sqz_tensor w = floats(&n, "b.w"); /* 6 x 3 x 3 x 40 */
    assert_true(snr(&n, "calib,ptq(weights=4 group=16 edges=0)") > 12);
    const sqz_value *v = codes_of(&n, "b", 1);
    assert_true(v->quant->group == 16 && v->quant->axis == 3 && v->quant->n == 6 * 9 * 3);
    for (size_t i = 0; i < w.count; i++) { /* blocks of 16, 16 and 8 */
        const size_t row = i / 40, block = i % 40 / 16;
        float most = 0, m[16];
        size_t k = 0;
        for (size_t j = block * 16; j < SQZ_MIN(block * 16 + 16, (size_t)40); j++) {
            m[k++] = fabsf(SQZ_F32P(&w)[row * 40 + j]);
            most = fmaxf(most, m[k - 1]);
        }
        const float s = sqz_weight_scale(m, k, 7, SQZ_W_MSE, false);
        assert_true(v->quant->scale[row * 3 + block] == s && s <= most / 7 * 1.00001f);
        assert_int_equal(sqz_tensor_i64(v->constant, i), sqz_qround(SQZ_F32P(&w)[i], s, 0, -7, 7));
    }
    const sqz_value *data = codes_of(&n, "b", 0); /* 8-bit activations all the same */
    assert_true(data->dtype == SQZ_S8 && data->quant->n == 1);
    assert_true(is_op(maker(&n, node(&n, "ra")->in[0]), "conv2d")); /* nothing between */
    sqz_tensor_free(n.ctx, &w);
    net_end(&n);
}

static void test_too_few_terms_for_blocks_stay_integer(void **state)
{
    (void)state;
    net n = small(12);
    TEST_OK(n.ctx, apply(&n, "calib,ptq(weights=4 group=32 edges=0)"));
    assert_int_equal(value(&n, "b.w")->quant->n, 8);
    assert_int_equal(sqz_val(n.g, node(&n, "b")->out[0])->dtype, SQZ_S8);
    net_end(&n);
}

/* ---- activations of other types ---- */

static void test_wide_activations_leave_the_error_of_the_weights(void **state)
{
    (void)state;
    net a = small(13), b = small(13), c = small(13);
    const double wide = snr(&a, "calib(method=minmax),ptq(activations=16)");
    const double alone = snr(&b, "calib(method=minmax),ptq(activations=0)");
    const double narrow = snr(&c, "calib(method=minmax),ptq");
    if (fabs(wide - alone) > 2 /* new data leaves the ranges */ || narrow > wide)
        fail_msg("%.2f dB with 16 bits, %.2f with floats, %.2f with 8", wide, alone, narrow);
    const sqz_value *x = codes_of(&a, "b", 0);
    assert_true(x->dtype == SQZ_S16 && x->quant->zero[0] == -32768); /* after a clamp */
    net_end(&a);
    net_end(&b);
    net_end(&c);
}

static void test_ranges_for_fewer_bits_cut_off_more(void **state)
{
    (void)state;
    net a = small(17), b = small(17);
    TEST_OK(a.ctx, apply(&a, "calib(bits=4)"));
    TEST_OK(b.ctx, apply(&b, "calib"));
    const sqz_range *r4 = value(&a, "rc")->range, *r8 = value(&b, "rc")->range;
    assert_true(r4->hi < 0.95f * r8->hi);
    net_end(&a);
    net_end(&b);
}

/* The number of different values in a tensor after a run. */
static size_t levels(const net *n, sqz_vid v, const float *x)
{
    sqz_exec *e;
    size_t count = 0;
    float seen[64];
    const sqz_exec_options o = {.keep_all = true};
    TEST_OK(n->ctx, sqz_exec_create(n->g, 1, &o, &e));
    const void *in[1] = {x};
    float y[64];
    void *out[1] = {y};
    TEST_OK(n->ctx, sqz_exec_run(e, in, out));
    const sqz_tensor *t = sqz_exec_value(e, v);
    for (size_t i = 0; i < t->count; i++) {
        bool known = false;
        for (size_t k = 0; k < count; k++)
            known = known || seen[k] == SQZ_F32P(t)[i];
        if (!known && count < 64)
            seen[count++] = SQZ_F32P(t)[i];
    }
    sqz_exec_free(e);
    return count;
}

static void test_narrow_activations_have_16_levels(void **state)
{
    (void)state;
    net n = small(14);
    assert_true(snr(&n, "calib,ptq(activations=4)") > 5);
    sqz_dataset test = net_data(&n, 1);
    static const char *const name[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        const size_t k = levels(&n, node(&n, name[i])->in[0], test.impl);
        assert_true(k > 4 && k <= 16);
    }
    net_data_free(&test);
    net_end(&n);
}

/* A pool hands its grid on, a clamp takes the place of its producer's pair, outputs keep their
 * names.
 */
static void test_pairs_stand_where_numbers_are_computed(void **state)
{
    (void)state;
    net n = net_begin(15);
    sqz_vid x = net_input(&n, image);
    sqz_vid a = net_unary(&n, "relu", "ra", "", net_conv(&n, "a", x, 8, 3));
    sqz_vid p = net_unary(&n, "max_pool", "p", "kernel_shape=2,2 strides=2,2", a);
    sqz_vid b = net_conv(&n, "b", p, 8, 3), s = net_binary(&n, "add", "s", p, b);
    net_finish(&n, 1, &s);
    assert_true(snr(&n, "calib(method=minmax),ptq(activations=16 islands=integer)") > 30);
    const sqz_node *pool = node(&n, "p");
    assert_int_equal(node(&n, "b")->in[0], pool->out[0]);     /* no pair behind the pool */
    assert_true(is_op(maker(&n, pool->in[0]), "dequantize")); /* but in front of it */
    assert_true(is_op(maker(&n, node(&n, "ra")->in[0]), "conv2d"));
    unsigned q = 0;
    SQZ_EACH_NODE(n.g, id) { q += is_op(sqz_nod(n.g, id), "quantize"); }
    assert_int_equal(q, 4); /* x, ra, b, s */
    assert_string_equal(sqz_value_file_name(n.g, n.g->output[0]), "s");
    assert_string_equal(sqz_val(n.g, n.g->input[0])->name, "x");
    net_end(&n);
}

static void test_ranges_are_asked_for_where_they_are_needed(void **state)
{
    (void)state;
    net n = small(16);
    TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "ptq(activations=16)", NULL), SQZ_E_ARG,
               "pass 'ptq' needs ranges: put 'calib' before it");
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "ptq(activations=0)", NULL));
    net_end(&n);
}

static void test_a_file_keeps_the_bits(void **state)
{
    (void)state;
    for (int bits = 2; bits <= 4; bits++) {
        net n = small(18);
        char recipe[64];
        void *bytes;
        size_t size;
        sqz_graph *g;
        unsigned seen = 0;
        const sqz_import_options o = {.path = "memory.onnx"};
        (void)snprintf(recipe, sizeof recipe, "calib,ptq(weights=%d edges=0)", bits);
        TEST_OK(n.ctx, apply(&n, recipe));
        TEST_OK(n.ctx, sqz_export_onnx(n.g, &bytes, &size));
        TEST_OK(n.ctx, sqz_import_bytes(n.ctx, bytes, size, &o, &g));
        TEST_OK(n.ctx, sqz_run_recipe(g, SQZ_CANONICAL, NULL));
        for (sqz_vid v = 0; v < g->n_value; v++) {
            const sqz_value *val = sqz_val(g, v);
            if (val->constant && val->dtype == SQZ_S4) {
                assert_int_equal(sqz_quant_bits(val->quant), bits);
                seen++;
            }
        }
        assert_int_equal(seen, 3);
        sqz_free(n.ctx, bytes);
        sqz_graph_free(g);
        net_end(&n);
    }
}

static void test_what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *recipe, *part;
        sqz_status want;
    } row[] = {
        {"calib,ptq(weights=5)", "weights of 5 bits, expected 8, 4, 3 or 2", SQZ_E_ARG},
        {"calib,ptq(group=12)", "blocks of 12 terms, expected a multiple of 8", SQZ_E_ARG},
        {"calib,ptq(group=32 per_tensor=1)", "not both", SQZ_E_ARG},
        {"calib,ptq(activations=12)", "activations of 12 bits, expected 8, 16, 4", SQZ_E_ARG},
        {"calib,ptq(edges=7)", "edges of 7 bits", SQZ_E_ARG},
        {"calib,ptq(bits=\"a\")", "'a': expected a node, ':'", SQZ_E_ARG},
        {"calib,ptq(bits=\"a:5\")", "'a:5': expected", SQZ_E_ARG},
        {"calib,ptq(bits=\"b:8, q:4\")", "no node and no operator type matches 'q'",
         SQZ_E_NOTFOUND},
    };
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        net n = small(7);
        TEST_FAILS(n.ctx, apply(&n, row[i].recipe), row[i].want, row[i].part);
        net_end(&n);
    }
}

static void test_the_same_bytes_for_any_number_of_threads(void **state)
{
    (void)state;
    char *text[2];
    for (unsigned t = 0; t < 2; t++) {
        net n = small_on(8, t ? 3 : 1);
        sqz_str out = {.ctx = n.ctx};
        TEST_OK(n.ctx, apply(&n, "calib,ptq(weights=4)"));
        TEST_OK(n.ctx, sqz_graph_print(n.g, SIZE_MAX, &out));
        text[t] = strdup(out.data);
        sqz_str_free(&out);
        net_end(&n);
    }
    assert_string_equal(text[0], text[1]);
    free(text[0]);
    free(text[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fewer_bits_are_nearest_codes_of_the_searched_scale),
        cmocka_unit_test(test_four_bits_compute_as_the_same_codes_in_bytes),
        cmocka_unit_test(test_the_ends_keep_8_bits_where_they_are_small),
        cmocka_unit_test(test_exceptions_by_name),
        cmocka_unit_test(test_powers_of_two_everywhere),
        cmocka_unit_test(test_symmetric_grids_have_no_zero_points),
        cmocka_unit_test(test_weights_alone_leave_activations_as_they_are),
        cmocka_unit_test(test_blocks_have_their_own_scales),
        cmocka_unit_test(test_too_few_terms_for_blocks_stay_integer),
        cmocka_unit_test(test_wide_activations_leave_the_error_of_the_weights),
        cmocka_unit_test(test_ranges_for_fewer_bits_cut_off_more),
        cmocka_unit_test(test_narrow_activations_have_16_levels),
        cmocka_unit_test(test_pairs_stand_where_numbers_are_computed),
        cmocka_unit_test(test_ranges_are_asked_for_where_they_are_needed),
        cmocka_unit_test(test_a_file_keeps_the_bits),
        cmocka_unit_test(test_what_cannot_be_is_refused),
        cmocka_unit_test(test_the_same_bytes_for_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
