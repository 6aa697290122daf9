/* Classes of indices and the cut: networks on which other tools break, by name, and random ones. */
#include "net.h"
#include "prune_case.h"

static sqz_classes *classes(const net *n)
{
    sqz_classes *c;
    TEST_OK(n->ctx, sqz_classes_build(n->g, NULL, &c));
    return c;
}

/* Cuts at random, several times; the claim of prune_case.h each time. */
static void check(net *n, const sqz_classes *c, int rounds)
{
    sqz_tensor in[4];
    bool *gone = calloc(c->n_class + 1, sizeof *gone), shifts;
    assert_true(n->g->n_input <= SQZ_COUNT(in));
    for (uint32_t i = 0; i < n->g->n_input; i++) {
        const sqz_value *v = sqz_val(n->g, n->g->input[i]);
        TEST_OK(n->ctx, sqz_tensor_alloc(n->ctx, v->dtype, &v->shape, &in[i]));
        for (size_t k = 0; k < in[i].count; k++)
            sqz_tensor_set_f64(&in[i], k, sqz_rng_normal(&n->r));
    }
    for (int k = 0; k < rounds; k++) {
        prune_draw(c, &n->r, 0.2 + 0.6 * sqz_rng_uniform(&n->r), gone, &shifts);
        prune_check(c, gone, in, shifts ? PRUNE_SHAPES : PRUNE_EXACT);
    }
    for (uint32_t i = 0; i < n->g->n_input; i++)
        sqz_tensor_free(n->ctx, &in[i]);
    free(gone);
}

/* Ends the network; `sizes`: of all its families, in order, 0 at the end. */
static void expect(net *n, sqz_vid out, const uint32_t *sizes)
{
    net_finish(n, 1, &out);
    sqz_classes *c = classes(n);
    uint32_t f = 0;
    for (; sizes[f]; f++) {
        assert_true(f < c->n_family);
        assert_int_equal(c->family[f].n, sizes[f]);
    }
    assert_int_equal(c->n_family, f);
    check(n, c, 8);
    sqz_classes_free(c);
    net_end(n);
}
#define FAMILIES(...) ((const uint32_t[]){__VA_ARGS__, 0})
#define NO_FAMILY     ((const uint32_t[]){0})

static net begin(sqz_vid *x, int64_t channels)
{
    net n = net_begin(31);
    *x = net_input(&n, (sqz_shape){4, {2, channels, 6, 6}});
    return n;
}

/* Keeps what is in front from reaching the output of the model. */
static sqz_vid end_conv(net *n, sqz_vid x) { return net_conv(n, "end", x, 3, 1); }

static sqz_vid relu(net *n, const char *name, sqz_vid x)
{
    return net_unary(n, "relu", name, "", x);
}

static sqz_vid dense(net *n, const char *name, sqz_vid x, int64_t out)
{
    char w[64], b[64];
    const sqz_shape *s = &sqz_val(n->g, x)->shape;
    (void)snprintf(w, sizeof w, "%.40s.w", name);
    (void)snprintf(b, sizeof b, "%.40s.b", name);
    const sqz_vid in[3] = {x, net_const(n, w, (sqz_shape){2, {out, s->dim[1]}}, 0.3),
                           net_const(n, b, (sqz_shape){1, {out}}, 0.1)};
    return net_node(n, "gemm", name, "", 3, in);
}

/* x (..., I) . w (I, O) */
static sqz_vid project(net *n, const char *name, sqz_vid x, int64_t out)
{
    char w[64];
    const sqz_shape *s = &sqz_val(n->g, x)->shape;
    (void)snprintf(w, sizeof w, "%.40s.w", name);
    return net_binary(n, "matmul", name, x,
                      net_const(n, w, (sqz_shape){2, {s->dim[s->rank - 1], out}}, 0.3));
}

/* ---- convolutions ---- */

static void test_a_chain(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    x = relu(&n, "r1", net_conv(&n, "a", x, 8, 3));
    x = relu(&n, "r2", net_conv(&n, "b", x, 5, 3));
    expect(&n, end_conv(&n, x), FAMILIES(8, 5));
}

static void test_a_residual_addition_ties_both_sides(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    x = relu(&n, "r1", net_conv(&n, "a", x, 6, 3));
    sqz_vid y = net_conv(&n, "c", relu(&n, "r2", net_conv(&n, "b", x, 4, 3)), 6, 3);
    expect(&n, end_conv(&n, net_binary(&n, "add", "sum", x, y)), FAMILIES(6, 4));
}

static void test_concat_of_a_tensor_with_itself(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    x = relu(&n, "r1", net_conv(&n, "a", x, 6, 3));
    x = net_node(&n, "concat", "twice", "axis=1", 2, (sqz_vid[2]){x, x});
    expect(&n, end_conv(&n, x), FAMILIES(6));
}

static void test_concat_of_different_sources_keeps_them_apart(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    sqz_vid a = net_conv(&n, "a", x, 6, 3), b = net_conv(&n, "b", x, 4, 1);
    x = net_node(&n, "concat", "both", "axis=1", 3, (sqz_vid[3]){a, x, b});
    expect(&n, end_conv(&n, relu(&n, "r", x)), FAMILIES(6, 4));
}

static void test_split_and_multiply_as_simple_gates_do(void **state)
{
    sqz_vid x, half[2];
    (void)state;
    net n = begin(&x, 3);
    x = net_conv(&n, "a", x, 10, 3);
    const sqz_op *split = sqz_op_find("split");
    struct {
        int64_t axis;
        sqz_ints list;
    } attrs = {.axis = 1};
    TEST_OK(n.ctx, sqz_graph_node(n.g, split, "halves", &attrs, &x, 1, NULL, 2, SQZ_NONE, half));
    x = net_binary(&n, "mul", "gate", half[0], half[1]);
    expect(&n, end_conv(&n, x), FAMILIES(5));
}

static void test_slices_of_channels(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    x = net_conv(&n, "a", x, 9, 3);
    sqz_vid a = net_unary(&n, "slice", "front", "starts=0 ends=4 axes=1", x);
    sqz_vid b = net_unary(&n, "slice", "back", "starts=-5 ends=100 axes=1", x);
    sqz_vid y = net_conv(&n, "c", b, 4, 1);
    expect(&n, end_conv(&n, net_binary(&n, "add", "sum", a, y)), FAMILIES(4, 5));
}

static void test_groups_lose_the_same_place(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    x = relu(&n, "r", net_conv(&n, "a", x, 12, 3));
    const sqz_vid in[2] = {x, net_const(&n, "g.w", (sqz_shape){4, {6, 4, 3, 3}}, 0.2)};
    x = net_node(&n, "conv2d", "g", "group=3 pads=1,1,1,1", 2, in);
    expect(&n, end_conv(&n, x), FAMILIES(4, 2));
}

static void test_depthwise_convolutions_of_mobile_nets(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    x = net_unary(&n, "hard_swish", "h1", "", net_conv(&n, "a", x, 7, 3));
    const sqz_vid one[2] = {x, net_const(&n, "d.w", (sqz_shape){4, {7, 1, 3, 3}}, 0.3)};
    x = net_unary(&n, "hard_swish", "h2", "",
                  net_node(&n, "dwconv2d", "d", "pads=1,1,1,1", 2, one));
    const sqz_vid two[2] = {x, net_const(&n, "m.w", (sqz_shape){4, {14, 1, 3, 3}}, 0.3)};
    x = net_node(&n, "dwconv2d", "m", "pads=1,1,1,1", 2, two); /* multiplier 2 */
    expect(&n, end_conv(&n, x), FAMILIES(7));
}

static void test_one_output_channel_is_not_depthwise(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 1);
    sqz_vid y = net_conv(&n, "one", x, 1, 3);
    expect(&n, end_conv(&n, net_conv(&n, "b", y, 5, 3)), FAMILIES(5));
}

static void test_transposed_convolutions(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    x = relu(&n, "r", net_conv(&n, "a", x, 6, 3));
    const sqz_vid in[3] = {x, net_const(&n, "t.w", (sqz_shape){4, {6, 5, 2, 2}}, 0.3),
                           net_const(&n, "t.b", (sqz_shape){1, {5}}, 0.3)};
    x = net_node(&n, "conv_transpose", "t", "strides=2,2", 3, in);
    expect(&n, end_conv(&n, x), FAMILIES(6, 5));
}

static void test_squeeze_and_excite(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    x = relu(&n, "r", net_conv(&n, "a", x, 8, 3));
    sqz_vid s = net_unary(&n, "global_average_pool", "gap", "", x);
    s = relu(&n, "rs", net_conv(&n, "down", s, 4, 1));
    s = net_unary(&n, "sigmoid", "gate", "", net_conv(&n, "up", s, 8, 1));
    expect(&n, end_conv(&n, net_binary(&n, "mul", "scaled", x, s)), FAMILIES(8, 4));
}

static void test_fpn_skips_with_a_resize(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    sqz_vid a = relu(&n, "ra", net_conv(&n, "a", x, 6, 3));
    sqz_vid low = net_unary(&n, "max_pool", "pool", "kernel_shape=2,2 strides=2,2", a);
    low = net_conv(&n, "lat", low, 5, 1);
    low = net_unary(&n, "resize_nearest", "upsample", "scales=1,1,2,2", low);
    x = net_binary(&n, "add", "sum", low, net_conv(&n, "b", a, 5, 1));
    expect(&n, end_conv(&n, x), FAMILIES(6, 5));
}

static void test_shortcuts_that_pad_channels_with_zeros(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    x = relu(&n, "r1", net_conv(&n, "a", x, 4, 3));
    sqz_vid y = net_conv(&n, "b", x, 8, 3);
    x = net_unary(&n, "pad", "wider", "pads=0,2,0,0,0,2,0,0", x);
    expect(&n, end_conv(&n, net_binary(&n, "add", "sum", x, y)), FAMILIES(4, 4));
}

static void test_shared_weights_lose_channels_everywhere(void **state)
{
    sqz_vid x, w;
    (void)state;
    net n = begin(&x, 5);
    x = net_conv(&n, "a", x, 5, 3);
    w = net_const(&n, "w", (sqz_shape){4, {5, 5, 3, 3}}, 0.2);
    sqz_vid y = net_node(&n, "conv2d", "u", "pads=1,1,1,1", 2, (sqz_vid[2]){x, w});
    y = net_node(&n, "conv2d", "v", "pads=1,1,1,1", 2, (sqz_vid[2]){relu(&n, "r", y), w});
    expect(&n, end_conv(&n, y), FAMILIES(5)); /* what u writes, v reads by the same weights */
}

/* ---- shapes ---- */

static void test_flatten_before_a_dense_layer(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    x = relu(&n, "r", net_conv(&n, "a", x, 4, 3));
    x = relu(&n, "r2", dense(&n, "fc1", net_unary(&n, "flatten", "flat", "", x), 7));
    expect(&n, dense(&n, "fc2", x, 3), FAMILIES(4, 7));
}

static void test_a_reshape_with_numbers_follows(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    x = relu(&n, "r", net_conv(&n, "a", x, 4, 3));
    x = net_unary(&n, "reshape", "view", "shape=2,144", x); /* 4 x 36 */
    x = dense(&n, "fc1", x, 8);
    x = net_unary(&n, "reshape", "back", "shape=2,8,1,1", x); /* linear, view, convolution */
    expect(&n, end_conv(&n, x), FAMILIES(4, 8));
}

static void test_a_channel_shuffle(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    x = net_conv(&n, "a", x, 12, 3);
    x = net_unary(&n, "reshape", "groups", "shape=2,3,4,6,6", x);
    x = net_unary(&n, "transpose", "turn", "perm=0,2,1,3,4", x);
    x = net_unary(&n, "reshape", "mixed", "shape=2,12,6,6", x);
    expect(&n, end_conv(&n, x), FAMILIES(3)); /* whole groups, as units */
}

static void test_pixel_shuffle_takes_blocks(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    x = net_conv(&n, "a", x, 12, 3);
    x = net_unary(&n, "depth_to_space", "shuffle", "blocksize=2 mode=CRD", x);
    expect(&n, end_conv(&n, x), FAMILIES(3));
}

/* ---- attention ---- */

static net sequence(sqz_vid *x, int64_t steps, int64_t width)
{
    net n = net_begin(41);
    *x = net_input(&n, (sqz_shape){3, {2, steps, width}});
    return n;
}

static sqz_vid heads(net *n, const char *name, sqz_vid x, const char *perm)
{
    char view[64];
    (void)snprintf(view, sizeof view, "%.40s.view", name);
    return net_unary(n, "transpose", name, perm,
                     net_unary(n, "reshape", view, "shape=0,0,4,3", x)); /* 4 heads of 3 */
}

static void test_attention_loses_whole_heads(void **state)
{
    sqz_vid x;
    (void)state;
    net n = sequence(&x, 5, 6);
    x = project(&n, "embed", x, 8);
    sqz_vid q = heads(&n, "q", project(&n, "wq", x, 12), "perm=0,2,1,3");
    sqz_vid k = heads(&n, "k", project(&n, "wk", x, 12), "perm=0,2,3,1");
    sqz_vid v = heads(&n, "v", project(&n, "wv", x, 12), "perm=0,2,1,3");
    sqz_vid p = net_unary(&n, "softmax", "p", "axis=-1", net_binary(&n, "matmul", "qk", q, k));
    sqz_vid y = net_unary(&n, "transpose", "yt", "perm=0,2,1,3",
                          net_binary(&n, "matmul", "pv", p, v));
    y = project(&n, "wo", net_unary(&n, "reshape", "join", "shape=0,0,12", y), 8);
    y = net_binary(&n, "add", "res", x, y);
    expect(&n, project(&n, "out", y, 3), FAMILIES(8, 4)); /* the stream, and the heads */
}

static void test_fused_queries_keys_and_values(void **state)
{
    sqz_vid x, part[3];
    (void)state;
    net n = sequence(&x, 5, 6);
    x = project(&n, "qkv", x, 36); /* (3, 4 heads, 3) */
    x = net_unary(&n, "transpose", "t", "perm=2,0,3,1,4",
                  net_unary(&n, "reshape", "view", "shape=0,0,3,4,3", x));
    for (int i = 0; i < 3; i++) {
        static const char *const name[3] = {"q", "k", "v"};
        static const int64_t index[3] = {0, 1, 2};
        sqz_tensor t;
        sqz_vid at;
        const sqz_shape scalar = {0};
        TEST_OK(n.ctx, sqz_tensor_alloc(n.ctx, SQZ_S64, &scalar, &t));
        sqz_tensor_set_i64(&t, 0, index[i]);
        TEST_OK(n.ctx, sqz_graph_constant(n.g, NULL, &t, &at));
        part[i] = net_node(&n, "gather", name[i], "axis=0", 2, (sqz_vid[2]){x, at});
    }
    sqz_vid k = net_unary(&n, "transpose", "kt", "perm=0,1,3,2", part[1]);
    sqz_vid p = net_unary(&n, "softmax", "p", "axis=-1",
                          net_binary(&n, "matmul", "qk", part[0], k));
    sqz_vid y = net_binary(&n, "matmul", "pv", p, part[2]);
    y = net_unary(&n, "reshape", "join", "shape=0,0,12",
                  net_unary(&n, "transpose", "yt", "perm=0,2,1,3", y));
    expect(&n, project(&n, "wo", y, 3), FAMILIES(4));
}

static void test_layer_norm_says_that_what_stays_changes(void **state)
{
    sqz_vid x;
    (void)state;
    net n = sequence(&x, 5, 6);
    x = project(&n, "a", x, 8);
    const sqz_vid in[3] = {x, net_const(&n, "ln.s", (sqz_shape){1, {8}}, 1),
                           net_const(&n, "ln.b", (sqz_shape){1, {8}}, 1)};
    x = project(&n, "b", net_node(&n, "layer_norm", "ln", "", 3, in), 3);
    net_finish(&n, 1, &x);
    sqz_classes *c = classes(&n);
    assert_int_equal(c->n_family, 1);
    assert_true(c->family[0].n == 8 && c->family[0].shifts);
    const sqz_class *k = &c->cls[c->member[0]];
    sqz_str why = {.ctx = n.ctx};
    sqz_why_print(&why, n.g, &k->shift);
    assert_non_null(strstr(why.data, "node 'ln' (layer_norm) is normalized over"));
    sqz_str_free(&why);
    check(&n, c, 4);
    sqz_classes_free(c);
    net_end(&n);
}

/* ---- recurrent ---- */

static void test_units_of_an_lstm(void **state)
{
    sqz_vid x;
    (void)state;
    net n = net_begin(41);
    x = net_input(&n, (sqz_shape){3, {4, 2, 5}}); /* T, N, I */
    x = project(&n, "in", x, 6);
    const sqz_vid in[4] = {x, net_const(&n, "w", (sqz_shape){3, {1, 28, 6}}, 0.3),
                           net_const(&n, "r", (sqz_shape){3, {1, 28, 7}}, 0.3),
                           net_const(&n, "b", (sqz_shape){2, {1, 56}}, 0.3)};
    sqz_vid y = net_node(&n, "lstm", "lstm", "", 4, in);
    y = net_unary(&n, "squeeze", "flat", "axes=1", y);
    expect(&n, project(&n, "out", y, 3), FAMILIES(6, 7));
}

/* ---- what stays, and why ---- */

static void test_inputs_outputs_and_operators_without_rules_stay(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    x = net_unary(&n, "lrn", "norm", "size=3", net_conv(&n, "a", x, 6, 3));
    x = net_conv(&n, "b", x, 4, 1);
    net_finish(&n, 1, &x);
    sqz_classes *c = classes(&n);
    assert_int_equal(c->n_family, 0);
    static const struct {
        const char *value;
        int32_t axis;
        const char *why;
    } want[] = {{"a.w", 0, "'norm' (lrn) has no rule"},
                {"a.w", 3, "'x' is an input of the model"},
                {"b.w", 0, "'b' is an output of the model"},
                {"a.w", 1, "'a' (conv2d) has no rule for it: 'a.w'"}};
    for (size_t i = 0; i < SQZ_COUNT(want); i++) {
        sqz_str why = {.ctx = n.ctx};
        const sqz_vid v = sqz_graph_find(n.g, want[i].value);
        sqz_why_print(&why, n.g, &c->cls[sqz_class_of(c, v, want[i].axis, 0)].pin);
        if (!strstr(why.data, want[i].why))
            fail_msg("'%s', expected '%s'", why.data, want[i].why);
        sqz_str_free(&why);
    }
    bool *gone = calloc(c->n_class, sizeof *gone);
    sqz_graph *h;
    gone[sqz_class_of(c, sqz_graph_find(n.g, "b.w"), 0, 2)] = true;
    TEST_FAILS(n.ctx, sqz_prune_cut(c, gone, &h), SQZ_E_ARG, "cannot leave: 'b' is an output");
    free(gone);
    sqz_classes_free(c);
    net_end(&n);
}

static void test_an_axis_keeps_at_least_one_index(void **state)
{
    sqz_vid x;
    (void)state;
    net n = begin(&x, 3);
    x = net_conv(&n, "b", net_conv(&n, "a", x, 6, 3), 4, 1);
    net_finish(&n, 1, &x);
    sqz_classes *c = classes(&n);
    bool *gone = calloc(c->n_class, sizeof *gone);
    sqz_graph *h;
    for (uint32_t i = 0; i < c->family[0].n; i++)
        gone[c->member[c->family[0].first + i]] = true;
    TEST_FAILS(n.ctx, sqz_prune_cut(c, gone, &h), SQZ_E_ARG, "nothing would be left of axis");
    assert_null(h);
    free(gone);
    sqz_classes_free(c);
    net_end(&n);
}

/* ---- random networks ---- */

typedef struct drawn {
    net n;
    sqz_vid list[64]; /* values of (N, C, 6, 6) */
    unsigned n_list, made;
} drawn;

static sqz_vid any(drawn *d) { return d->list[sqz_rng_below(&d->n.r, d->n_list)]; }
static int64_t width(const drawn *d, sqz_vid v) { return sqz_val(d->n.g, v)->shape.dim[1]; }

/* Another value with as many channels, or one made by a 1x1 convolution. */
static sqz_vid partner(drawn *d, sqz_vid x, const char *name)
{
    for (int i = 0; i < 4; i++) {
        const sqz_vid y = any(d);
        if (width(d, y) == width(d, x))
            return y;
    }
    return net_conv(&d->n, name, any(d), width(d, x), 1);
}

static sqz_vid grouped(drawn *d, const char *name, sqz_vid x, int64_t groups)
{
    char w[48], attrs[64];
    const int64_t c = width(d, x), out = groups * (1 + (int64_t)sqz_rng_below(&d->n.r, 4));
    (void)snprintf(w, sizeof w, "%.30s.w", name);
    (void)snprintf(attrs, sizeof attrs, "group=%d pads=1,1,1,1", (int)groups);
    const sqz_vid in[2] = {x, net_const(&d->n, w, (sqz_shape){4, {out, c / groups, 3, 3}}, 0.3)};
    return net_node(&d->n, "conv2d", name, attrs, 2, in);
}

static sqz_vid depthwise(drawn *d, const char *name, sqz_vid x)
{
    char w[48];
    const int64_t m = 1 + (int64_t)sqz_rng_below(&d->n.r, 2), c = width(d, x);
    (void)snprintf(w, sizeof w, "%.30s.w", name);
    const sqz_vid in[2] = {x, net_const(&d->n, w, (sqz_shape){4, {c * m, 1, 3, 3}}, 0.3)};
    return net_node(&d->n, "dwconv2d", name, "pads=1,1,1,1", 2, in);
}

static sqz_vid shuffled(drawn *d, const char *name, sqz_vid x, int64_t g)
{
    char t[3][64], a[64], b[64];
    const int64_t c = width(d, x);
    for (int i = 0; i < 3; i++)
        (void)snprintf(t[i], sizeof t[i], "%.30s.%d", name, i);
    (void)snprintf(a, sizeof a, "shape=0,%d,%d,6,6", (int)g, (int)(c / g));
    (void)snprintf(b, sizeof b, "shape=0,%d,6,6", (int)c);
    x = net_unary(&d->n, "reshape", t[0], a, x);
    x = net_unary(&d->n, "transpose", t[1], "perm=0,2,1,3,4", x);
    return net_unary(&d->n, "reshape", t[2], b, x);
}

static sqz_vid part(drawn *d, const char *name, sqz_vid x)
{
    char attrs[64];
    const int64_t c = width(d, x), from = (int64_t)sqz_rng_below(&d->n.r, (uint64_t)c);
    const int64_t to = from + 1 + (int64_t)sqz_rng_below(&d->n.r, (uint64_t)(c - from));
    (void)snprintf(attrs, sizeof attrs, "starts=%d ends=%d axes=1", (int)from, (int)to);
    return net_unary(&d->n, "slice", name, attrs, x);
}

static sqz_vid attended(drawn *d, const char *name, sqz_vid x)
{
    char t[5][64], a[64];
    const int64_t c = width(d, x), h = c % 3 == 0 ? 3 : c % 2 == 0 ? 2 : 1;
    static const char *const part_of[5] = {"v", "k", "s", "p", "y"};
    for (int i = 0; i < 5; i++)
        (void)snprintf(t[i], sizeof t[i], "%.30s.%s", name, part_of[i]);
    (void)snprintf(a, sizeof a, "shape=0,%d,%d,36", (int)h, (int)(c / h));
    sqz_vid v = net_unary(&d->n, "reshape", t[0], a, x); /* (N, heads, C', pixels) */
    sqz_vid k = net_unary(&d->n, "transpose", t[1], "perm=0,1,3,2", v);
    sqz_vid s = net_binary(&d->n, "matmul", t[2], k, v); /* pixels x pixels */
    s = net_unary(&d->n, "softmax", t[3], "axis=-1", s);
    (void)snprintf(a, sizeof a, "shape=0,%d,6,6", (int)c);
    return net_unary(&d->n, "reshape", t[4], a, net_binary(&d->n, "matmul", name, v, s));
}

static sqz_vid step(drawn *d)
{
    char name[32], other[32];
    const sqz_vid x = any(d);
    const int64_t c = width(d, x);
    net *n = &d->n;
    (void)snprintf(name, sizeof name, "n%u", d->made);
    (void)snprintf(other, sizeof other, "m%u", d->made++);
    switch (sqz_rng_below(&n->r, 13)) {
    case 0: return relu(n, name, x);
    case 1: return net_unary(n, "sigmoid", name, "", x);
    case 2: return net_binary(n, "add", name, x, partner(d, x, other));
    case 3: return net_binary(n, "mul", name, x, partner(d, x, other));
    case 4: return net_node(n, "concat", name, "axis=1", 2, (sqz_vid[2]){x, any(d)});
    case 5: return net_node(n, "concat", name, "axis=1", 3, (sqz_vid[3]){x, any(d), x});
    case 6: return c % 3 == 0 ? grouped(d, name, x, 3) : c % 2 == 0 ? grouped(d, name, x, 2) : x;
    case 7: return depthwise(d, name, x);
    case 8: return c % 3 == 0 ? shuffled(d, name, x, 3) : c % 2 == 0 ? shuffled(d, name, x, 2) : x;
    case 9: return part(d, name, x);
    case 10: return attended(d, name, x);
    case 11: return net_unary(n, "max_pool", name, "kernel_shape=3,3 strides=1,1 pads=1,1,1,1", x);
    default: return net_conv(n, name, x, 1 + (int64_t)sqz_rng_below(&n->r, 8), 3);
    }
}

static drawn draw(uint64_t seed)
{
    drawn d = {.n = net_begin(seed), .n_list = 1};
    d.list[0] = net_input(&d.n, (sqz_shape){4, {1, 3, 6, 6}});
    d.list[0] = net_conv(&d.n, "stem", d.list[0], 6, 3);
    const uint64_t steps = 6 + sqz_rng_below(&d.n.r, 20);
    for (uint64_t i = 0; i < steps; i++) {
        const sqz_vid y = step(&d);
        if (width(&d, y) <= 24)
            d.list[d.n_list++] = y;
    }
    sqz_vid out[2];
    const unsigned n_out = 1 + (unsigned)sqz_rng_below(&d.n.r, 2);
    out[0] = net_conv(&d.n, "end0", d.list[d.n_list - 1], 3, 1);
    out[1] = dense(&d.n, "end1", net_unary(&d.n, "flatten", "flat", "", any(&d)), 2);
    net_finish(&d.n, n_out, out);
    return d;
}

static void test_random_networks_never_break(void **state)
{
    (void)state;
    const char *more = getenv("SQZ_PRUNE_SEEDS"); /* bench: 100000 */
    const uint64_t seeds = more ? strtoull(more, NULL, 10) : 1500;
    uint64_t families = 0;
    for (uint64_t seed = 0; seed < seeds; seed++) {
        drawn d = draw(1000 + seed);
        sqz_classes *c = classes(&d.n);
        families += c->n_family;
        check(&d.n, c, 2);
        sqz_classes_free(c);
        net_end(&d.n);
    }
    assert_true(families > seeds);
    printf("           %llu families\n", (unsigned long long)families);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_chain),
        cmocka_unit_test(test_a_residual_addition_ties_both_sides),
        cmocka_unit_test(test_concat_of_a_tensor_with_itself),
        cmocka_unit_test(test_concat_of_different_sources_keeps_them_apart),
        cmocka_unit_test(test_split_and_multiply_as_simple_gates_do),
        cmocka_unit_test(test_slices_of_channels),
        cmocka_unit_test(test_groups_lose_the_same_place),
        cmocka_unit_test(test_depthwise_convolutions_of_mobile_nets),
        cmocka_unit_test(test_one_output_channel_is_not_depthwise),
        cmocka_unit_test(test_transposed_convolutions),
        cmocka_unit_test(test_squeeze_and_excite),
        cmocka_unit_test(test_fpn_skips_with_a_resize),
        cmocka_unit_test(test_shortcuts_that_pad_channels_with_zeros),
        cmocka_unit_test(test_shared_weights_lose_channels_everywhere),
        cmocka_unit_test(test_flatten_before_a_dense_layer),
        cmocka_unit_test(test_a_reshape_with_numbers_follows),
        cmocka_unit_test(test_a_channel_shuffle),
        cmocka_unit_test(test_pixel_shuffle_takes_blocks),
        cmocka_unit_test(test_attention_loses_whole_heads),
        cmocka_unit_test(test_fused_queries_keys_and_values),
        cmocka_unit_test(test_layer_norm_says_that_what_stays_changes),
        cmocka_unit_test(test_units_of_an_lstm),
        cmocka_unit_test(test_inputs_outputs_and_operators_without_rules_stay),
        cmocka_unit_test(test_an_axis_keeps_at_least_one_index),
        cmocka_unit_test(test_random_networks_never_break),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
