/* Post-training quantization: what becomes integer, on which grids, and how near it stays. */
#include "net.h"
#include "quant/qparams.h"
#include "quant/quantize.h"

/* ---- looking at a quantized network ---- */

static sqz_vid value(const net *n, const char *name)
{
    sqz_vid v = sqz_graph_find(n->g, name);
    if (v == SQZ_NONE)
        fail_msg("no value '%s'", name);
    return v;
}

static const sqz_quant *grid(const net *n, const char *name)
{
    const sqz_quant *q = sqz_val(n->g, value(n, name))->quant;
    if (!q)
        fail_msg("value '%s' has no grid", name);
    return q;
}

static bool is_float(const net *n, const char *name)
{
    const sqz_value *v = sqz_val(n->g, value(n, name));
    return v->dtype == SQZ_F32 && !v->quant;
}

static void assert_same_grid(const net *n, const char *a, const char *b)
{
    const sqz_quant *p = grid(n, a), *q = grid(n, b);
    if (p->scale[0] != q->scale[0] || p->zero[0] != q->zero[0])
        fail_msg("'%s' has scale %g zero %d, '%s' %g %d", a, (double)p->scale[0], p->zero[0], b,
                 (double)q->scale[0], q->zero[0]);
}

static unsigned count_ops(const net *n, const char *op)
{
    unsigned k = 0;
    SQZ_EACH_NODE(n->g, id) { k += strcmp(sqz_nod(n->g, id)->op->info.name, op) == 0; }
    return k;
}

/* Ends of the grid of a value, in real numbers. */
static double grid_lo(const net *n, const char *name)
{
    return (double)grid(n, name)->scale[0] * (-128 - grid(n, name)->zero[0]);
}
static double grid_hi(const net *n, const char *name)
{
    return (double)grid(n, name)->scale[0] * (127 - grid(n, name)->zero[0]);
}

/* ---- making one ---- */

typedef struct result {
    double snr; /* dB, of output 0 */
    char *notes;
} result;

/* Calibrates on 40 samples, quantizes, and compares on others. */
static result quantize(net *n, const char *recipe)
{
    sqz_dataset calib = net_data(n, 40), test = net_data(n, 20);
    sqz_str notes = {.ctx = n->ctx};
    sqz_env env = {.calib = &calib, .notes = &notes};
    size_t count, again;
    float *before = net_run(n->g, &test, 0, &count);
    TEST_OK(n->ctx, sqz_run_recipe(n->g, recipe, &env));
    TEST_OK(n->ctx, sqz_graph_verify(n->g));
    float *after = net_run(n->g, &test, 0, &again);
    assert_int_equal(count, again);
    result r = {net_snr(before, after, count), strdup(notes.data ? notes.data : "")};
    free(before);
    free(after);
    sqz_str_free(&notes);
    net_data_free(&calib);
    net_data_free(&test);
    return r;
}

/* All that can be integer: what is better off float at the ends is the business of another test. */
#define PTQ "calib(method=minmax),ptq(islands=integer)"

static void assert_near(result r, double db)
{
    if (!(r.snr >= db))
        fail_msg("signal to noise %.1f dB, expected %.1f; notes: %s", r.snr, db, r.notes);
    free(r.notes);
}

static void assert_noted(result r, const char *part)
{
    if (!strstr(r.notes, part))
        fail_msg("no note '%s' in:\n%s", part, r.notes);
    free(r.notes);
}

static const sqz_shape image = {4, {1, 3, 8, 8}};

/* ---- networks ---- */

static void test_a_residual_network(void **state)
{
    (void)state;
    net n = net_begin(1);
    sqz_vid x = net_input(&n, image);
    sqz_vid a = net_unary(&n, "relu", "a_relu", "", net_conv(&n, "a", x, 8, 3));
    sqz_vid b = net_conv(&n, "b", a, 8, 3);
    sqz_vid s = net_unary(&n, "relu", "s_relu", "", net_binary(&n, "add", "s", a, b));
    sqz_vid p = net_unary(&n, "global_average_pool", "p", "", s);
    sqz_vid f = net_unary(&n, "flatten", "f", "axis=1", p);
    net_finish(&n, 1, &f);
    assert_near(quantize(&n, PTQ), 30);
    assert_int_equal(count_ops(&n, "quantize"), 1);
    assert_int_equal(count_ops(&n, "dequantize"), 1);
    assert_same_grid(&n, "a", "a_relu"); /* the clamp is the convolution's own saturation */
    assert_same_grid(&n, "s", "s_relu");
    assert_true(grid_lo(&n, "a") == 0.0);
    assert_int_equal(grid(&n, "a.w")->n, 8);
    assert_int_equal(sqz_val(n.g, value(&n, "a.b"))->dtype, SQZ_S32);
    assert_true(is_float(&n, "f") && value(&n, "f") == n.g->output[0]);
    net_end(&n);
}

static void test_biases_have_the_scale_of_the_products(void **state)
{
    (void)state;
    net n = net_begin(2);
    sqz_vid y = net_conv(&n, "c", net_input(&n, image), 8, 3);
    net_finish(&n, 1, &y);
    float bias[8];
    memcpy(bias, net_numbers(&n, "c.b"), sizeof bias);
    assert_near(quantize(&n, PTQ), 30);
    const sqz_node *c = sqz_nod(n.g, sqz_val(n.g, value(&n, "c_int8"))->producer);
    const sqz_quant *x = sqz_val(n.g, c->in[0])->quant, *w = grid(&n, "c.w"), *b = grid(&n, "c.b");
    assert_int_equal(b->n, 8);
    for (int i = 0; i < 8; i++) {
        volatile float product = x->scale[0] * w->scale[i];
        assert_true(b->scale[i] == product);
        assert_true(b->zero[i] == 0 && w->zero[i] == 0);
        int32_t q = SQZ_S32P(sqz_val(n.g, value(&n, "c.b"))->constant)[i];
        assert_true(fabs((double)q * (double)product - (double)bias[i]) <= 0.5 * (double)product);
    }
    const sqz_tensor *q = sqz_val(n.g, value(&n, "c.w"))->constant;
    for (size_t i = 0; i < q->count; i++)
        assert_true(SQZ_S8P(q)[i] >= -127);
    net_end(&n);
}

static void test_what_hands_numbers_on_shares_one_grid(void **state)
{
    (void)state;
    net n = net_begin(3);
    sqz_vid x = net_input(&n, image);
    sqz_vid a = net_conv(&n, "a", x, 4, 3);
    sqz_vid b = net_unary(&n, "tanh", "t", "", net_conv(&n, "b", x, 4, 1));
    sqz_vid m = net_unary(&n, "max_pool", "m", "kernel_shape=3,3 pads=1,1,1,1", a);
    sqz_vid cat = net_node(&n, "concat", "cat", "axis=1", 2, (sqz_vid[2]){m, b});
    sqz_vid r = net_unary(&n, "flatten", "flat", "axis=1", cat);
    net_finish(&n, 1, &r);
    assert_near(quantize(&n, PTQ), 30);
    assert_same_grid(&n, "a", "m");
    assert_same_grid(&n, "m", "cat");
    assert_same_grid(&n, "t", "cat");
    assert_same_grid(&n, "cat", "flat_int8");
    assert_true(grid(&n, "b")->scale[0] != grid(&n, "t")->scale[0]);
    assert_int_equal(count_ops(&n, "dequantize"), 1);
    net_end(&n);
}

static void test_a_clamp_far_behind_still_cuts_the_grid(void **state)
{
    (void)state;
    net n = net_begin(4);
    sqz_vid x = net_input(&n, image);
    sqz_vid a = net_conv(&n, "a", x, 4, 3);
    sqz_vid m = net_unary(&n, "max_pool", "m", "kernel_shape=2,2 strides=2,2", a);
    sqz_vid r = net_unary(&n, "clip", "r", "min=0 max=1", m);
    net_finish(&n, 1, &r);
    assert_near(quantize(&n, PTQ), 30);
    assert_same_grid(&n, "a", "r_int8");
    assert_true(grid_lo(&n, "a") == 0.0 && fabs(grid_hi(&n, "a") - 1) < 1e-6);
    net_end(&n);
}

static void test_a_value_used_before_its_clamp_keeps_its_range(void **state)
{
    (void)state;
    net n = net_begin(5);
    sqz_vid x = net_input(&n, image);
    sqz_vid a = net_conv(&n, "a", x, 4, 3);
    sqz_vid r = net_unary(&n, "relu", "r", "", a);
    sqz_vid s = net_binary(&n, "add", "s", a, r);
    net_finish(&n, 1, &s);
    assert_near(quantize(&n, PTQ), 30);
    assert_true(grid_lo(&n, "a") < -1 && grid_lo(&n, "r") == 0.0);
    net_end(&n);
}

static void test_softmax_keeps_its_grid_and_is_requantized_for_a_concat(void **state)
{
    (void)state;
    net n = net_begin(6);
    sqz_vid x = net_input(&n, image);
    sqz_vid a = net_conv(&n, "a", x, 4, 3);
    sqz_vid s = net_unary(&n, "softmax", "s", "axis=1", a);
    sqz_vid b = net_conv(&n, "b", x, 4, 1);
    sqz_vid cat = net_node(&n, "concat", "cat", "axis=1", 2, (sqz_vid[2]){s, b});
    net_finish(&n, 1, &cat);
    assert_near(quantize(&n, PTQ), 30);
    assert_true(grid(&n, "s")->scale[0] == 1.0f / 256 && grid(&n, "s")->zero[0] == -128);
    assert_int_equal(count_ops(&n, "requantize"), 1);
    assert_same_grid(&n, "b", "cat_int8");
    net_end(&n);
}

/* conv, softmax, unsqueeze: the softmax ends the model. */
static net ends_in_softmax(void)
{
    net n = net_begin(7);
    sqz_vid x = net_input(&n, image);
    sqz_vid f = net_unary(&n, "flatten", "f", "axis=1", net_conv(&n, "a", x, 2, 3));
    sqz_vid s = net_unary(&n, "softmax", "s", "axis=1", f);
    sqz_vid r = net_unary(&n, "unsqueeze", "r", "axes=2", s);
    net_finish(&n, 1, &r);
    return n;
}

static void test_a_softmax_that_ends_the_model_stays_float(void **state)
{
    (void)state;
    net n = ends_in_softmax();
    result r = quantize(&n, PTQ);
    assert_true(is_float(&n, "s") && is_float(&n, "r"));
    assert_int_equal(count_ops(&n, "dequantize"), 1);
    assert_noted(r, "node 's' (softmax) stays float: it ends the model");
    net_end(&n);
}

static void test_a_device_without_floats_gets_an_integer_softmax(void **state)
{
    (void)state;
    net n = ends_in_softmax();
    sqz_dataset calib = net_data(&n, 8);
    sqz_env env = {.integer_only = true, .calib = &calib};
    TEST_OK(n.ctx, sqz_run_recipe(n.g, PTQ, &env));
    net_data_free(&calib);
    assert_true(grid(&n, "s")->scale[0] == 1.0f / 256);
    net_end(&n);
}

static void test_a_softmax_alone_passes_its_grid_on(void **state)
{
    (void)state;
    net n = ends_in_softmax();
    free(quantize(&n, "calib(method=minmax),ptq(softmax=integer islands=integer)").notes);
    assert_same_grid(&n, "s", "r_int8");
    assert_true(grid(&n, "s")->scale[0] == 1.0f / 256);
    assert_int_equal(count_ops(&n, "requantize"), 0);
    net_end(&n);
}

static void test_nodes_that_only_move_data_are_not_quantized_alone(void **state)
{
    (void)state;
    net n = net_begin(8);
    sqz_vid x = net_input(&n, (sqz_shape){2, {1, 12}});
    sqz_vid u = net_unary(&n, "unsqueeze", "u", "axes=2", x);
    sqz_vid r = net_unary(&n, "relu", "r", "", u);
    sqz_vid s = net_unary(&n, "softmax", "s", "axis=1", r);
    net_finish(&n, 1, &s);
    assert_near(quantize(&n, PTQ), 200);
    assert_int_equal(count_ops(&n, "quantize"), 0);
    assert_true(is_float(&n, "u") && is_float(&n, "r") && is_float(&n, "s"));
    net_end(&n);
}

static void test_excluded_nodes_are_float_islands(void **state)
{
    (void)state;
    static const char *const spelt[] = {"b", "b|nothing", "zzz, b", "Tanh,b"};
    for (size_t i = 0; i < SQZ_COUNT(spelt); i++) {
        net n = net_begin(9);
        sqz_vid x = net_input(&n, image);
        sqz_vid a = net_unary(&n, "relu", "a_relu", "", net_conv(&n, "a", x, 6, 3));
        sqz_vid b = net_unary(&n, "tanh", "b_tanh", "", net_conv(&n, "b", a, 6, 3));
        sqz_vid c = net_conv(&n, "c", b, 6, 3);
        net_finish(&n, 1, &c);
        char recipe[128];
        (void)snprintf(recipe, sizeof recipe, "calib(method=minmax),ptq(exclude=\"%s\")", spelt[i]);
        sqz_dataset calib = net_data(&n, 10);
        sqz_env env = {.calib = &calib};
        if (i == 2) {
            TEST_FAILS(n.ctx, sqz_run_recipe(n.g, recipe, &env), SQZ_E_NOTFOUND,
                       "no node and no operator type matches 'zzz'");
        } else {
            result r = quantize(&n, recipe);
            assert_non_null(strstr(r.notes, "node 'b' (conv2d) stays float: it is excluded"));
            assert_true(is_float(&n, "b"));
            assert_true(is_float(&n, "b.w"));
            assert_true(is_float(&n, "b_tanh") == (i == 3));
            assert_true(!is_float(&n, "a_relu") && !is_float(&n, "c_int8"));
            assert_int_equal(count_ops(&n, "dequantize"), 2);
            assert_int_equal(count_ops(&n, "quantize"), 2);
            assert_near(r, 30);
        }
        net_data_free(&calib);
        net_end(&n);
    }
}

static void test_depthwise_weights_have_one_scale_per_channel(void **state)
{
    (void)state;
    net n = net_begin(10);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 6, 8, 8}});
    sqz_vid w = net_const(&n, "w", (sqz_shape){4, {6, 1, 3, 3}}, 0.3);
    sqz_vid b = net_const(&n, "b", (sqz_shape){1, {6}}, 0.1);
    for (int i = 0; i < 9; i++) /* channels of very different sizes */
        net_numbers(&n, "w")[2 * 9 + i] *= 0.01f;
    sqz_vid y = net_node(&n, "dwconv2d", "d", "pads=1,1,1,1", 3, (sqz_vid[3]){x, w, b});
    net_finish(&n, 1, &y);
    assert_near(quantize(&n, PTQ), 30);
    const sqz_quant *q = grid(&n, "w");
    assert_int_equal(q->n, 6);
    assert_int_equal(sqz_val(n.g, value(&n, "w"))->shape.dim[q->axis], 6);
    assert_true(q->scale[2] < q->scale[0] * 0.1f);
    net_end(&n);
}

static void test_per_tensor_gives_one_scale(void **state)
{
    (void)state;
    net n = net_begin(11);
    sqz_vid y = net_conv(&n, "c", net_input(&n, image), 8, 3);
    net_finish(&n, 1, &y);
    assert_near(quantize(&n, "calib(method=minmax),ptq(per_tensor=1)"), 30);
    assert_int_equal(grid(&n, "c.w")->n, 1);
    assert_int_equal(grid(&n, "c.b")->n, 1);
    net_end(&n);
}

/* ---- guards ---- */

static void test_shared_weights_share_a_grid_or_are_copied(void **state)
{
    (void)state;
    for (int excluded = 0; excluded <= 1; excluded++) {
        net n = net_begin(12);
        sqz_vid x = net_input(&n, (sqz_shape){4, {1, 4, 8, 8}});
        sqz_vid w = net_const(&n, "w", (sqz_shape){4, {4, 4, 3, 3}}, 0.2);
        sqz_vid b = net_const(&n, "b", (sqz_shape){1, {4}}, 0.1);
        sqz_vid a = net_node(&n, "conv2d", "a", "pads=1,1,1,1", 3, (sqz_vid[3]){x, w, b});
        sqz_vid r = net_unary(&n, "relu", "r", "", a);
        sqz_vid c = net_node(&n, "conv2d", "c", "pads=1,1,1,1", 3, (sqz_vid[3]){r, w, b});
        net_finish(&n, 1, &c);
        result res = quantize(&n, excluded ? "calib(method=minmax),ptq(exclude=a)" : PTQ);
        const sqz_node *na = sqz_nod(n.g, sqz_val(n.g, value(&n, "a"))->producer);
        const sqz_node *nc = sqz_nod(n.g, sqz_val(n.g, value(&n, "c_int8"))->producer);
        if (excluded) {
            assert_true(is_float(&n, "w") && is_float(&n, "b"));
            assert_true(na->in[1] == value(&n, "w") && na->in[2] == value(&n, "b"));
            assert_true(sqz_val(n.g, nc->in[1])->dtype == SQZ_S8 && nc->in[1] != na->in[1]);
        } else {
            assert_true(na->in[1] == nc->in[1] && na->in[2] != nc->in[2]);
            /* the two inputs have different scales, so do the biases */
            assert_true(sqz_val(n.g, na->in[2])->quant->scale[0] !=
                        sqz_val(n.g, nc->in[2])->quant->scale[0]);
            assert_int_equal(sqz_graph_find(n.g, "b"), SQZ_NONE); /* nobody needs the float one */
        }
        assert_near(res, 30);
        net_end(&n);
    }
}

static void test_dead_channels_get_a_sane_scale(void **state)
{
    (void)state;
    net n = net_begin(13);
    sqz_vid y = net_conv(&n, "c", net_input(&n, image), 4, 3);
    net_finish(&n, 1, &y);
    float *w = net_numbers(&n, "c.w"), *b = net_numbers(&n, "c.b");
    size_t each = sqz_val(n.g, value(&n, "c.w"))->constant->count / 4;
    for (size_t i = 0; i < each; i++) {
        w[each + i] = 0.0f;
        w[2 * each + i] = 1e-20f;
    }
    b[1] = 0.731f;
    b[2] = -0.517f;
    result r = quantize(&n, PTQ);
    for (int c = 1; c <= 2; c++) /* 2^-24 would be the floor: the bias would not fit 32 bits */
        assert_true(grid(&n, "c.w")->scale[c] > 1e-5f);
    const sqz_quant *q = grid(&n, "c.b");
    const int32_t *codes = SQZ_S32P(sqz_val(n.g, value(&n, "c.b"))->constant);
    double step = (double)grid(&n, "c_int8")->scale[0];
    assert_true(fabs((double)q->scale[1] * codes[1] - 0.731) < step / 256);
    assert_true(fabs((double)q->scale[2] * codes[2] + 0.517) < step / 256);
    assert_true(r.snr > 30);
    assert_noted(r, "node 'c' (conv2d): 2 output channels (first: 1) have no weights");
    net_end(&n);
}

static void test_large_biases_raise_the_scale_of_the_weights(void **state)
{
    (void)state;
    net n = net_begin(14);
    sqz_vid y = net_conv(&n, "c", net_input(&n, image), 4, 3);
    net_finish(&n, 1, &y);
    float *w = net_numbers(&n, "c.w"), *b = net_numbers(&n, "c.b");
    size_t each = sqz_val(n.g, value(&n, "c.w"))->constant->count / 4;
    for (size_t i = 0; i < each; i++)
        w[3 * each + i] *= 3e-7f; /* small, not dead: b / (s_x s_w) is above 2^31 */
    b[3] = 4.0f;
    result r = quantize(&n, PTQ);
    const sqz_node *c = sqz_nod(n.g, sqz_val(n.g, value(&n, "c_int8"))->producer);
    double s_x = (double)sqz_val(n.g, c->in[0])->quant->scale[0];
    int32_t code = SQZ_S32P(sqz_val(n.g, value(&n, "c.b"))->constant)[3];
    assert_true(code > 0 && code <= 1 << 30);
    assert_true(fabs((double)code * (double)grid(&n, "c.b")->scale[3] - 4.0) < 1e-6);
    assert_true(s_x * (double)grid(&n, "c.w")->scale[3] >= 4.0 / (1 << 30));
    assert_true(r.snr > 30);
    assert_noted(r, "node 'c' (conv2d): 1 output channel (first: 3) have a bias too large");
    net_end(&n);
}

static void test_sums_that_could_wrap_around_get_smaller_weights(void **state)
{
    (void)state;
    net n = net_begin(15);
    enum { K = 70000 }; /* 70000 x 127 x 255 is above 2^31 */
    sqz_vid x = net_input(&n, (sqz_shape){2, {1, K}});
    sqz_vid w = net_const(&n, "w", (sqz_shape){2, {2, K}}, 0);
    for (int i = 0; i < 2 * K; i++)
        net_numbers(&n, "w")[i] = i % 2 ? 0.01f : -0.01f;
    sqz_vid y = net_node(&n, "gemm", "g", "", 2, (sqz_vid[2]){x, w});
    net_finish(&n, 1, &y);
    result r = quantize(&n, PTQ);
    const sqz_tensor *q = sqz_val(n.g, value(&n, "w"))->constant;
    int64_t sum = 0;
    for (size_t i = 0; i < q->count / 2; i++)
        sum += abs(SQZ_S8P(q)[i]);
    assert_true(sum * 255 < INT32_MAX);
    assert_true(r.snr > 25);
    assert_noted(r, "node 'g' (gemm): 2 output channels (first: 0) could overflow");
    net_end(&n);
}

static void test_masks_do_not_stretch_grids(void **state)
{
    (void)state;
    net n = net_begin(16);
    sqz_vid x = net_input(&n, (sqz_shape){2, {1, 8}});
    sqz_vid mask = net_const(&n, "mask", (sqz_shape){1, {8}}, 0);
    net_numbers(&n, "mask")[3] = -INFINITY;
    net_numbers(&n, "mask")[5] = -3.4e38f;
    sqz_vid y = net_unary(&n, "softmax", "s", "axis=1", net_binary(&n, "add", "m", x, mask));
    net_finish(&n, 1, &y);
    result r = quantize(&n, PTQ);
    assert_true(grid_lo(&n, "m") > -10 && grid_hi(&n, "m") < 10);
    assert_noted(r, "constant 'mask': 2 numbers below -1e30");
    net_end(&n);
}

static void test_ranges_with_a_mask_in_them_are_cut(void **state)
{
    (void)state;
    net n = net_begin(17);
    sqz_vid y = net_conv(&n, "c", net_input(&n, image), 4, 3);
    net_finish(&n, 1, &y);
    static const sqz_range rx = {-3.4e38f, 4}, rc = {-3, 3};
    sqz_val(n.g, n.g->input[0])->range = &rx;
    sqz_val(n.g, value(&n, "c"))->range = &rc;
    for (sqz_vid v = 0; v < n.g->n_value; v++)
        if (sqz_val(n.g, v)->role == SQZ_ROLE_ACTIVATION && !sqz_val(n.g, v)->range)
            sqz_val(n.g, v)->range = sqz_val(n.g, v)->channel_last ? &rx : &rc;
    n.g->have |= SQZ_HAS_RANGES;
    sqz_str notes = {.ctx = n.ctx};
    sqz_env env = {.notes = &notes};
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "ptq(islands=integer)", &env));
    const sqz_node *c = sqz_nod(n.g, sqz_val(n.g, value(&n, "c_int8"))->producer);
    assert_true(sqz_val(n.g, c->in[0])->quant->scale[0] < 0.1f);
    assert_non_null(strstr(notes.data, "begins below -1e30"));
    sqz_str_free(&notes);
    net_end(&n);
}

static void test_constant_values_get_scale_one(void **state)
{
    (void)state;
    net n = net_begin(18);
    sqz_vid x = net_input(&n, image);
    sqz_vid a = net_conv(&n, "a", x, 4, 3);
    sqz_vid r = net_unary(&n, "relu", "r", "", a);
    sqz_vid y = net_conv(&n, "c", r, 4, 3);
    net_finish(&n, 1, &y);
    for (int i = 0; i < 4; i++)
        net_numbers(&n, "a.b")[i] = -100; /* the ReLU never opens */
    result res = quantize(&n, PTQ);
    assert_true(grid(&n, "r")->scale[0] == 1.0f && grid(&n, "r")->zero[0] == 0);
    assert_noted(res, "has no extent; scale 1");
    net_end(&n);
}

static void test_weights_that_are_not_finite_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const where[] = {"c.w", "c.b"};
    for (int i = 0; i < 4; i++) {
        net n = net_begin(19);
        sqz_vid y = net_conv(&n, "c", net_input(&n, image), 4, 3);
        net_finish(&n, 1, &y);
        static const sqz_range r = {-4, 4};
        for (sqz_vid v = 0; v < n.g->n_value; v++)
            if (!sqz_val(n.g, v)->constant)
                sqz_val(n.g, v)->range = &r;
        n.g->have |= SQZ_HAS_RANGES;
        net_numbers(&n, where[i % 2])[2] = i < 2 ? NAN : -INFINITY;
        TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "ptq(islands=integer)", NULL), SQZ_E_FORMAT,
                   i % 2 ? "constant 'c.b': number 2" : "constant 'c.w'");
        net_end(&n);
    }
}

static void test_operands_that_are_not_finite_are_refused_by_name(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY};
    for (size_t i = 0; i < SQZ_COUNT(bad); i++) {
        net n = net_begin(27);
        sqz_vid x = net_input(&n, (sqz_shape){2, {1, 4}});
        sqz_vid k = net_const(&n, "k", (sqz_shape){1, {4}}, 1);
        sqz_vid y = net_binary(&n, "add", "y", x, k);
        net_finish(&n, 1, &y);
        static const sqz_range r = {-4, 4};
        sqz_val(n.g, x)->range = sqz_val(n.g, y)->range = &r;
        n.g->have |= SQZ_HAS_RANGES;
        net_numbers(&n, "k")[1] = bad[i];
        TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "ptq(islands=integer)", NULL), SQZ_E_FORMAT, "constant 'k': number 1");
        net_end(&n);
    }
}

static void test_a_value_without_a_range_makes_a_float_island(void **state)
{
    (void)state;
    net n = net_begin(20);
    sqz_vid x = net_input(&n, image);
    sqz_vid a = net_unary(&n, "relu", "r", "", net_conv(&n, "a", x, 4, 3));
    sqz_vid y = net_conv(&n, "c", a, 4, 3);
    net_finish(&n, 1, &y);
    sqz_dataset calib = net_data(&n, 10);
    sqz_str notes = {.ctx = n.ctx};
    sqz_env env = {.calib = &calib, .notes = &notes};
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "calib(method=minmax)", &env));
    sqz_val(n.g, value(&n, "c"))->range = NULL;
    for (sqz_vid v = 0; v < n.g->n_value; v++)
        if (sqz_val(n.g, v)->twin == value(&n, "c"))
            sqz_val(n.g, v)->range = NULL;
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "ptq(islands=integer)", &env));
    assert_true(is_float(&n, "c") && !is_float(&n, "r"));
    assert_non_null(strstr(notes.data, "node 'c' (conv2d) stays float: value 'c' has no range"));
    sqz_str_free(&notes);
    net_data_free(&calib);
    net_end(&n);
}

static void test_one_tensor_used_twice_by_one_node(void **state)
{
    (void)state;
    net n = net_begin(21);
    sqz_vid x = net_input(&n, image);
    sqz_vid d = net_binary(&n, "add", "d", x, x);
    sqz_vid m = net_binary(&n, "mul", "m", d, d);
    sqz_vid c = net_node(&n, "concat", "cat", "axis=1", 2, (sqz_vid[2]){m, m});
    net_finish(&n, 1, &c);
    assert_near(quantize(&n, PTQ), 30);
    assert_int_equal(count_ops(&n, "quantize"), 1);
    assert_same_grid(&n, "m", "cat_int8");
    net_end(&n);
}

static void test_constant_operands_are_quantized(void **state)
{
    (void)state;
    net n = net_begin(22);
    sqz_vid x = net_input(&n, image);
    sqz_vid k = net_const(&n, "k", (sqz_shape){4, {1, 3, 1, 1}}, 1.5);
    sqz_vid two = net_const(&n, "two", (sqz_shape){0}, 0);
    net_numbers(&n, "two")[0] = 2.0f;
    sqz_vid y = net_binary(&n, "mul", "y", net_binary(&n, "add", "s", x, k), two);
    sqz_vid z = net_binary(&n, "sub", "z", y, two); /* shared: a copy each */
    net_finish(&n, 1, &z);
    assert_near(quantize(&n, PTQ), 30);
    assert_int_equal(sqz_val(n.g, value(&n, "k"))->dtype, SQZ_S8);
    assert_int_equal(sqz_graph_find(n.g, "two"), SQZ_NONE);
    net_end(&n);
}

static void test_a_convolution_without_bias_stays_without(void **state)
{
    (void)state;
    net n = net_begin(23);
    sqz_vid x = net_input(&n, image);
    sqz_vid w = net_const(&n, "w", (sqz_shape){4, {4, 3, 3, 3}}, 0.2);
    sqz_vid y = net_node(&n, "conv2d", "c", "", 2, (sqz_vid[2]){x, w});
    net_finish(&n, 1, &y);
    assert_near(quantize(&n, PTQ), 30);
    const sqz_node *c = sqz_nod(n.g, sqz_val(n.g, value(&n, "c_int8"))->producer);
    assert_true(c->n_in == 2 || c->in[2] == SQZ_NONE);
    net_end(&n);
}

static void test_outputs_keep_names_and_may_be_used_inside(void **state)
{
    (void)state;
    net n = net_begin(24);
    sqz_vid x = net_input(&n, (sqz_shape){2, {1, 16}});
    sqz_vid w = net_const(&n, "w", (sqz_shape){2, {16, 16}}, 0.3);
    sqz_vid a = net_node(&n, "gemm", "a", "", 2, (sqz_vid[2]){x, w});
    sqz_vid r = net_unary(&n, "relu", "r", "", a);
    sqz_vid f = net_unary(&n, "reciprocal", "f", "", r); /* stays float with zeros around */
    sqz_vid out[4] = {a, r, a, f};
    (void)f;
    net_finish(&n, 3, out);
    assert_near(quantize(&n, PTQ), 30);
    assert_true(n.g->output[0] == value(&n, "a") && n.g->output[1] == value(&n, "r"));
    assert_true(n.g->output[2] == n.g->output[0]);
    assert_true(is_float(&n, "a") && is_float(&n, "r"));
    assert_int_equal(count_ops(&n, "dequantize"), 2);
    net_end(&n);
}

static void test_quantizing_twice_is_refused(void **state)
{
    (void)state;
    net n = net_begin(25);
    sqz_vid y = net_conv(&n, "c", net_input(&n, image), 4, 3);
    net_finish(&n, 1, &y);
    free(quantize(&n, PTQ).notes);
    TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "ptq", NULL), SQZ_E_ARG, "quantized already");
    n.g->have &= ~(unsigned)SQZ_HAS_QUANT; /* as a model read from a QDQ file */
    TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "ptq", NULL), SQZ_E_ARG, "quantized already");
    net_end(&n);
}

static void test_shapes_on_their_way_are_left_alone(void **state)
{
    (void)state;
    net n = net_begin(26);
    sqz_vid x = net_input(&n, image);
    sqz_vid a = net_conv(&n, "a", x, 4, 3);
    sqz_vid s = net_unary(&n, "shape", "s", "", a);
    sqz_vid f = net_unary(&n, "flatten", "f", "axis=1", a);
    sqz_vid out[2] = {f, s};
    TEST_OK(n.ctx, sqz_graph_set_outputs(n.g, out, 1));
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "layout", NULL));
    assert_near(quantize(&n, PTQ), 30);
    assert_int_equal(sqz_val(n.g, value(&n, "s"))->dtype, SQZ_S64);
    net_end(&n);
}

/* ---- random networks ---- */

static sqz_vid random_layer(net *n, int i, sqz_vid *v, unsigned n_v)
{
    char name[16];
    sqz_vid x = v[n_v - 1], other = v[sqz_rng_below(&n->r, n_v)];
    (void)snprintf(name, sizeof name, "n%d", i);
    switch (sqz_rng_below(&n->r, 7)) {
    case 0: return net_conv(n, name, x, 6, 3);
    case 1: return net_conv(n, name, x, 6, 1);
    case 2: return net_unary(n, "relu", name, "", x);
    case 3: return net_unary(n, "max_pool", name, "kernel_shape=3,3 pads=1,1,1,1", x);
    case 4: return net_unary(n, "hard_swish", name, "", x);
    case 5: return net_binary(n, "add", name, x, other);
    default: return net_unary(n, "average_pool", name, "kernel_shape=3,3 pads=1,1,1,1", x);
    }
}

static void test_random_networks_stay_near_their_float_selves(void **state)
{
    (void)state;
    /* 8 bits over 8 sigma are 41 dB for one layer, and each of the five adds its noise. A grid made
     * wrong, or a table off by one step, costs more than 10 dB. */
    double sum = 0;
    for (uint64_t seed = 100; seed < 160; seed++) {
        net n = net_begin(seed);
        sqz_vid v[8];
        unsigned n_v = 1;
        v[0] = net_input(&n, (sqz_shape){4, {1, 6, 8, 8}});
        for (int i = 0; i < 5; i++, n_v++)
            v[n_v] = random_layer(&n, i, v, n_v);
        net_finish(&n, 1, &v[n_v - 1]);
        result r = quantize(&n, PTQ);
        if (r.snr < 25)
            fail_msg("seed %d: %.1f dB; %s", (int)seed, r.snr, r.notes);
        sum += r.snr;
        free(r.notes);
        net_end(&n);
    }
    assert_true(sum / 60 > 33);
}

static void test_the_same_bytes_for_any_number_of_threads(void **state)
{
    (void)state;
    sqz_str text[3];
    net n[3];
    for (int t = 0; t < 3; t++) {
        sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
        o.threads = t + 1;
        n[t] = (net){.r = {.seed = 30}};
        assert_int_equal(sqz_ctx_create(&o, &n[t].ctx), SQZ_OK);
        TEST_OK(n[t].ctx, sqz_graph_create(n[t].ctx, &n[t].g));
        sqz_vid x = net_input(&n[t], (sqz_shape){4, {1, 3, 16, 16}});
        sqz_vid a = net_unary(&n[t], "relu", "r", "", net_conv(&n[t], "a", x, 16, 3));
        sqz_vid y = net_conv(&n[t], "c", a, 4, 3);
        net_finish(&n[t], 1, &y);
        free(quantize(&n[t], "calib(method=mse),ptq").notes);
        text[t] = (sqz_str){.ctx = n[t].ctx};
        TEST_OK(n[t].ctx, sqz_graph_print(n[t].g, 1 << 20, &text[t]));
        assert_string_equal(text[t].data, text[0].data);
    }
    for (int t = 0; t < 3; t++) {
        sqz_str_free(&text[t]);
        net_end(&n[t]);
    }
}

/* ---- naming nodes ---- */

static void test_nodes_are_named_by_name_expression_or_type(void **state)
{
    (void)state;
    static const struct {
        const char *selection;
        bool a, r;
    } row[] = {
        {"stem/conv", true, false},
        {"stem/.*", true, true},
        {"stem", false, false},
        {"Conv", true, false},
        {"conv2d", true, false},
        {" Relu , nothing", false, true},
        {"nothing", false, false},
        {".*conv", true, false},
        {"stem/conv,stem/relu", true, true},
        {"", false, false},
        {"(stem|x)/r.*", false, true},
    };
    net n = net_begin(31);
    sqz_vid x = net_input(&n, image);
    sqz_vid c = net_conv(&n, "stem/conv", x, 4, 3);
    sqz_vid r = net_unary(&n, "relu", "stem/relu", "", c);
    TEST_OK(n.ctx, sqz_graph_set_outputs(n.g, &r, 1));
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        bool yes;
        TEST_OK(n.ctx, sqz_node_selected(n.g, sqz_val(n.g, c)->producer, row[i].selection, &yes));
        assert_int_equal(yes, row[i].a);
        TEST_OK(n.ctx, sqz_node_selected(n.g, sqz_val(n.g, r)->producer, row[i].selection, &yes));
        assert_int_equal(yes, row[i].r);
    }
    TEST_OK(n.ctx, sqz_selection_check(n.g, "Conv, stem/.*"));
    TEST_OK(n.ctx, sqz_selection_check(n.g, NULL));
    TEST_FAILS(n.ctx, sqz_selection_check(n.g, "stem/.*,stem/conf"), SQZ_E_NOTFOUND,
               "'stem/conf', did you mean 'stem/conv'?");
    net_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_residual_network),
        cmocka_unit_test(test_biases_have_the_scale_of_the_products),
        cmocka_unit_test(test_what_hands_numbers_on_shares_one_grid),
        cmocka_unit_test(test_a_clamp_far_behind_still_cuts_the_grid),
        cmocka_unit_test(test_a_value_used_before_its_clamp_keeps_its_range),
        cmocka_unit_test(test_softmax_keeps_its_grid_and_is_requantized_for_a_concat),
        cmocka_unit_test(test_a_softmax_that_ends_the_model_stays_float),
        cmocka_unit_test(test_a_device_without_floats_gets_an_integer_softmax),
        cmocka_unit_test(test_a_softmax_alone_passes_its_grid_on),
        cmocka_unit_test(test_nodes_that_only_move_data_are_not_quantized_alone),
        cmocka_unit_test(test_excluded_nodes_are_float_islands),
        cmocka_unit_test(test_depthwise_weights_have_one_scale_per_channel),
        cmocka_unit_test(test_per_tensor_gives_one_scale),
        cmocka_unit_test(test_shared_weights_share_a_grid_or_are_copied),
        cmocka_unit_test(test_dead_channels_get_a_sane_scale),
        cmocka_unit_test(test_large_biases_raise_the_scale_of_the_weights),
        cmocka_unit_test(test_sums_that_could_wrap_around_get_smaller_weights),
        cmocka_unit_test(test_masks_do_not_stretch_grids),
        cmocka_unit_test(test_ranges_with_a_mask_in_them_are_cut),
        cmocka_unit_test(test_constant_values_get_scale_one),
        cmocka_unit_test(test_weights_that_are_not_finite_are_refused_by_name),
        cmocka_unit_test(test_operands_that_are_not_finite_are_refused_by_name),
        cmocka_unit_test(test_a_value_without_a_range_makes_a_float_island),
        cmocka_unit_test(test_one_tensor_used_twice_by_one_node),
        cmocka_unit_test(test_constant_operands_are_quantized),
        cmocka_unit_test(test_a_convolution_without_bias_stays_without),
        cmocka_unit_test(test_outputs_keep_names_and_may_be_used_inside),
        cmocka_unit_test(test_quantizing_twice_is_refused),
        cmocka_unit_test(test_shapes_on_their_way_are_left_alone),
        cmocka_unit_test(test_random_networks_stay_near_their_float_selves),
        cmocka_unit_test(test_the_same_bytes_for_any_number_of_threads),
        cmocka_unit_test(test_nodes_are_named_by_name_expression_or_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
