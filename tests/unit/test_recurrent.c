/* lstm, gru and rnn against the formulas written out in double, one sample and one number at a
 * time; activations by name; what is refused. */
#include "../onnx_node.h"

enum { SEED = 61, SLOTS = 8, UNITS = 7 };

/* ---- one random node ---- */

typedef struct node {
    const char *op, *acts; /* acts: of one direction */
    int gates, n_act, dirs;
    bool reverse, layout, forget, before;
    double clip;
    int64_t T, N, I, H;
    sqz_tensor in[SLOTS], out[3];
    bool given[SLOTS];
    char attrs[256];
} node;

static void give(node *k, sqz_ctx *ctx, int slot, sqz_dtype d, sqz_shape s, sqz_rng *r)
{
    TEST_OK(ctx, sqz_tensor_alloc(ctx, d, &s, &k->in[slot]));
    k->given[slot] = true;
    for (size_t i = 0; i < k->in[slot].count; i++)
        if (d == SQZ_S32)
            SQZ_S32P(&k->in[slot])[i] = (int32_t)sqz_rng_below(r, (uint64_t)k->T + 1);
        else
            SQZ_F32P(&k->in[slot])[i] = (float)(2 * sqz_rng_uniform(r) - 1);
}

static bool coin(sqz_rng *r) { return sqz_rng_below(r, 2) == 1; }

static sqz_shape shape(int64_t a, int64_t b, int64_t c)
{
    return (sqz_shape){.rank = 3, .dim = {a, b, c}};
}

static void make_attrs(node *k, sqz_rng *r)
{
    static const char *const three[] = {"Sigmoid,Tanh,Tanh", "HardSigmoid,Softsign,Elu",
                                        "Sigmoid,Relu,Softplus"};
    static const char *const two[] = {"Sigmoid,Tanh", "HardSigmoid,ScaledTanh", "Sigmoid,Affine"};
    static const char *const one[] = {"Tanh", "LeakyRelu", "ThresholdedRelu"};
    k->acts = (k->n_act == 3 ? three : k->n_act == 2 ? two : one)[sqz_rng_below(r, 3)];
    (void)snprintf(
        k->attrs, sizeof k->attrs, "direction=%s layout=%d clip=%g activations=%s%s%s%s%s",
        k->dirs == 2 ? "bidirectional"
        : k->reverse ? "reverse"
                     : "forward",
        k->layout, k->clip, k->acts, k->dirs == 2 ? "," : "", k->dirs == 2 ? k->acts : "",
        k->forget ? " input_forget=1" : "", k->before ? " linear_before_reset=1" : "");
}

static void make(node *k, sqz_ctx *ctx, sqz_rng *r)
{
    static const char *const ops[] = {"lstm", "gru", "rnn"};
    int which = (int)sqz_rng_below(r, 3);
    *k = (node){.op = ops[which], .gates = which == 0 ? 4 : which == 1 ? 3 : 1, .n_act = 3 - which};
    k->dirs = coin(r) ? 2 : 1;
    k->reverse = coin(r);
    k->layout = coin(r);
    k->forget = which == 0 && coin(r);
    k->before = which == 1 && coin(r);
    k->clip = coin(r) ? 0.5 : 0;
    k->T = (int64_t)sqz_rng_below(r, 5) + 1;
    k->N = coin(r) ? (int64_t)sqz_rng_below(r, 4) : 33 + (int64_t)sqz_rng_below(r, 4);
    k->I = (int64_t)sqz_rng_below(r, 6) + 1;
    k->H = (int64_t)sqz_rng_below(r, UNITS) + 1;
    make_attrs(k, r);
    const int64_t d = k->dirs, g = k->gates * k->H;
    sqz_shape x = k->layout ? shape(k->N, k->T, k->I) : shape(k->T, k->N, k->I);
    sqz_shape state = k->layout ? shape(k->N, d, k->H) : shape(d, k->N, k->H);
    give(k, ctx, 0, SQZ_F32, x, r);
    give(k, ctx, 1, SQZ_F32, shape(d, g, k->I), r);
    give(k, ctx, 2, SQZ_F32, shape(d, g, k->H), r);
    if (coin(r))
        give(k, ctx, 3, SQZ_F32, (sqz_shape){2, {d, 2 * g}}, r);
    if (coin(r))
        give(k, ctx, 4, SQZ_S32, (sqz_shape){1, {k->N}}, r);
    if (coin(r))
        give(k, ctx, 5, SQZ_F32, state, r);
    if (which == 0 && coin(r))
        give(k, ctx, 6, SQZ_F32, state, r);
    if (which == 0 && coin(r))
        give(k, ctx, 7, SQZ_F32, (sqz_shape){2, {d, 3 * k->H}}, r);
}

static sqz_status infer_node(node *k, sqz_ctx *ctx, void *attrs, unsigned n_out)
{
    sqz_graph *g = NULL;
    sqz_vid in[SLOTS], made[3];
    unsigned n_in = 0;
    TEST_OK(ctx, sqz_graph_create(ctx, &g));
    for (unsigned i = 0; i < SLOTS; i++) {
        in[i] = SQZ_NONE;
        if (!k->given[i])
            continue;
        TEST_OK(ctx, sqz_graph_input(g, NULL, k->in[i].dtype, &k->in[i].shape, &in[i]));
        n_in = i + 1;
    }
    sqz_status s = sqz_graph_node(g, sqz_op_find(k->op), "node", attrs, in, n_in, NULL, n_out,
                                  SQZ_NONE, made);
    for (unsigned i = 0; s == SQZ_OK && i < n_out; i++)
        s = sqz_tensor_alloc(ctx, SQZ_F32, &sqz_val(g, made[i])->shape, &k->out[i]);
    sqz_graph_free(g);
    return s;
}

static sqz_status run(node *k, sqz_ctx *ctx)
{
    const sqz_op *op = sqz_op_find(k->op);
    const sqz_tensor *in[SLOTS];
    sqz_tensor *out[3] = {&k->out[0], &k->out[1], &k->out[2]};
    sqz_arena a = {.ctx = ctx};
    void *attrs = sqz_arena_alloc(&a, 1, op->info.opt_size);
    unsigned n_in = 0;
    sqz_opts_default(&op->info, attrs);
    sqz_status s = sqz_opts_parse(&a, &op->info, k->attrs, attrs);
    if (s == SQZ_OK)
        s = infer_node(k, ctx, attrs, op->n_out_max);
    for (unsigned i = 0; i < SLOTS; i++) {
        in[i] = k->given[i] ? &k->in[i] : NULL;
        n_in = k->given[i] ? i + 1 : n_in;
    }
    for (unsigned i = 0; s == SQZ_OK && i < op->n_out_max; i++)
        if (out[i]->bytes)
            memset(out[i]->data, 0xA5, out[i]->bytes); /* nothing may be left from before */
    if (s == SQZ_OK)
        s = sqz_op_run_once(ctx, op, attrs, in, n_in, out, op->n_out_max, NULL, NULL);
    sqz_arena_free(&a);
    return s;
}

static void unmake(node *k, sqz_ctx *ctx)
{
    for (int i = 0; i < SLOTS; i++)
        sqz_tensor_free(ctx, &k->in[i]);
    for (int i = 0; i < 3; i++)
        sqz_tensor_free(ctx, &k->out[i]);
}

/* ---- the reference ---- */

static double act(const node *k, int which, double x)
{
    const char *p = k->acts;
    char name[32];
    for (; which > 0; which--)
        p = strchr(p, ',') + 1;
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(p, ","), p);
    if (strcmp(name, "Sigmoid") == 0)
        return 1 / (1 + exp(-x));
    if (strcmp(name, "HardSigmoid") == 0)
        return fmin(1, fmax(0, 0.2 * x + 0.5));
    if (strcmp(name, "Relu") == 0)
        return fmax(x, 0);
    if (strcmp(name, "Softsign") == 0)
        return x / (1 + fabs(x));
    if (strcmp(name, "Softplus") == 0)
        return log1p(exp(x));
    if (strcmp(name, "Elu") == 0)
        return x < 0 ? exp(x) - 1 : x;
    if (strcmp(name, "LeakyRelu") == 0)
        return x < 0 ? 0.01 * x : x;
    if (strcmp(name, "ThresholdedRelu") == 0)
        return x >= 1 ? x : 0;
    return strcmp(name, "Affine") == 0 ? x : tanh(x); /* Tanh, ScaledTanh(1, 1) */
}

static double clipped(const node *k, double x)
{
    return k->clip > 0 ? fmin(k->clip, fmax(-k->clip, x)) : x;
}

static double at(const node *k, int slot, int64_t i)
{
    return k->given[slot] ? (double)SQZ_F32P(&k->in[slot])[i] : 0;
}

static double sum_x(const node *k, int64_t d, int64_t t, int64_t n, int64_t unit)
{
    double s = 0;
    for (int64_t i = 0; i < k->I; i++)
        s += at(k, 0, (k->layout ? n * k->T + t : t * k->N + n) * k->I + i) *
             at(k, 1, (d * k->gates * k->H + unit) * k->I + i);
    return s + at(k, 3, d * 2 * k->gates * k->H + unit);
}

static double bias_r(const node *k, int64_t d, int64_t unit)
{
    return at(k, 3, (2 * d + 1) * k->gates * k->H + unit);
}

static double sum_h(const node *k, int64_t d, const double *h, int64_t unit)
{
    double s = 0;
    for (int64_t j = 0; j < k->H; j++)
        s += h[j] * at(k, 2, (d * k->gates * k->H + unit) * k->H + j);
    return s;
}

/* Gate g (in the order of the file) of unit j, before its function. */
static double gate(const node *k, int64_t d, int64_t t, int64_t n, const double *h, int64_t g,
                   int64_t j)
{
    int64_t unit = g * k->H + j;
    return sum_x(k, d, t, n, unit) + sum_h(k, d, h, unit) + bias_r(k, d, unit);
}

static void step_lstm(const node *k, int64_t d, int64_t t, int64_t n, double *h, double *c)
{
    double next_h[UNITS], next_c[UNITS];
    for (int64_t j = 0; j < k->H; j++) {
        const int64_t p = d * 3 * k->H + j;
        double i = act(k, 0, clipped(k, gate(k, d, t, n, h, 0, j) + at(k, 7, p) * c[j]));
        double f = act(k, 0, clipped(k, gate(k, d, t, n, h, 2, j) + at(k, 7, p + 2 * k->H) * c[j]));
        double z = act(k, 1, clipped(k, gate(k, d, t, n, h, 3, j)));
        next_c[j] = (k->forget ? 1 - i : f) * c[j] + i * z;
        double o = act(k, 0,
                       clipped(k, gate(k, d, t, n, h, 1, j) + at(k, 7, p + k->H) * next_c[j]));
        next_h[j] = o * act(k, 2, next_c[j]);
    }
    memcpy(h, next_h, sizeof next_h);
    memcpy(c, next_c, sizeof next_c);
}

static void step_gru(const node *k, int64_t d, int64_t t, int64_t n, double *h)
{
    double z[UNITS], r[UNITS], reset[UNITS], next[UNITS];
    for (int64_t j = 0; j < k->H; j++) {
        z[j] = act(k, 0, clipped(k, gate(k, d, t, n, h, 0, j)));
        r[j] = act(k, 0, clipped(k, gate(k, d, t, n, h, 1, j)));
        reset[j] = r[j] * h[j];
    }
    for (int64_t j = 0; j < k->H; j++) {
        int64_t unit = 2 * k->H + j;
        double rec = k->before ? r[j] * (sum_h(k, d, h, unit) + bias_r(k, d, unit))
                               : sum_h(k, d, reset, unit) + bias_r(k, d, unit);
        double m = act(k, 1, clipped(k, sum_x(k, d, t, n, unit) + rec));
        next[j] = (1 - z[j]) * m + z[j] * h[j];
    }
    memcpy(h, next, sizeof next);
}

static void step_rnn(const node *k, int64_t d, int64_t t, int64_t n, double *h)
{
    double next[UNITS];
    for (int64_t j = 0; j < k->H; j++)
        next[j] = act(k, 0, clipped(k, gate(k, d, t, n, h, 0, j)));
    memcpy(h, next, sizeof next);
}

/* Six steps of sums of at most 20 terms below 3 in size: rounding grows to some 1e-6. */
static void near(const sqz_tensor *t, int64_t i, double want)
{
    TEST_NEAR((double)SQZ_F32P(t)[i], want, 2e-5 * fmax(1, fabs(want)));
}

static void check_sample(const node *k, int64_t d, int64_t n)
{
    const int64_t state = (k->layout ? n * k->dirs + d : d * k->N + n) * k->H;
    const int64_t len = k->given[4] ? SQZ_S32P(&k->in[4])[n] : k->T;
    const bool back = k->dirs == 2 ? d == 1 : k->reverse;
    double h[UNITS] = {0}, c[UNITS] = {0};
    for (int64_t j = 0; j < k->H; j++) {
        h[j] = len ? at(k, 5, state + j) : 0;
        c[j] = len ? at(k, 6, state + j) : 0;
    }
    for (int64_t s = 0; s < k->T; s++) {
        int64_t t = back && s < len ? len - 1 - s : s;
        int64_t y = (k->layout ? (n * k->T + t) * k->dirs + d : (t * k->dirs + d) * k->N + n) *
                    k->H;
        if (s < len && k->gates == 4)
            step_lstm(k, d, t, n, h, c);
        else if (s < len && k->gates == 3)
            step_gru(k, d, t, n, h);
        else if (s < len)
            step_rnn(k, d, t, n, h);
        for (int64_t j = 0; j < k->H; j++)
            near(&k->out[0], y + j, s < len ? h[j] : 0);
    }
    for (int64_t j = 0; j < k->H; j++) {
        near(&k->out[1], state + j, h[j]);
        if (k->gates == 4)
            near(&k->out[2], state + j, c[j]);
    }
}

static void test_random_nodes_are_the_formulas(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {SEED, 0};
    for (int i = 0; i < 200; i++) {
        node k;
        make(&k, ctx, &r);
        TEST_OK(ctx, run(&k, ctx));
        for (int64_t d = 0; d < k.dirs; d++)
            for (int64_t n = 0; n < k.N; n++)
                check_sample(&k, d, n);
        unmake(&k, ctx);
    }
    sqz_ctx_free(ctx);
}

/* ---- as ONNX spells it ---- */

/* Lists of names and numbers, a length, and an operand left out in the middle. */
static void test_a_node_of_a_file_is_the_same(void **state)
{
    (void)state;
    static const char *const acts[] = {"HardSigmoid", "Elu",         "Softsign",
                                       "Sigmoid",     "HardSigmoid", "Tanh"};
    const float alpha[] = {0.3f, 0.7f, 0.25f}, beta[] = {0.4f, 0.6f};
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {SEED, 1 << 21};
    for (int layout = 0; layout < 2; layout++) {
        onnx_node t;
        node k = {.op = "lstm", .T = 4};
        const sqz_shape x = layout ? shape(3, 4, 5) : shape(4, 3, 5);
        (void)snprintf(k.attrs, sizeof k.attrs,
                       "direction=bidirectional layout=%d clip=0.75 activation_alpha=0.3,0.7,0.25 "
                       "activation_beta=0.4,0.6 activations=HardSigmoid,Elu,Softsign,Sigmoid,"
                       "HardSigmoid,Tanh",
                       layout);
        node_begin(&t, ctx, "LSTM", NULL, 14, "y,h,c");
        node_text(&t, "direction", "bidirectional");
        node_int(&t, "hidden_size", 6);
        node_int(&t, "layout", layout);
        node_float(&t, "clip", 0.75);
        node_texts(&t, "activations", acts, 6);
        node_floats(&t, "activation_alpha", alpha, 3);
        node_floats(&t, "activation_beta", beta, 2);
        node_in(&t, SQZ_F32, x, false, &r, -1, 1);
        node_in(&t, SQZ_F32, shape(2, 24, 5), true, &r, -1, 1);
        node_in(&t, SQZ_F32, shape(2, 24, 6), true, &r, -1, 1);
        node_skip(&t);
        node_in(&t, SQZ_S32, (sqz_shape){1, {3}}, false, &r, 0, 4);
        node_run(&t);
        for (int i = 0; i < 5; i++) {
            k.given[i] = t.given[i];
            sqz_tensor_share(&t.in[i], &k.in[i]);
        }
        TEST_OK(ctx, run(&k, ctx));
        for (int i = 0; i < 3; i++) {
            assert_true(sqz_shape_eq(&k.out[i].shape, &t.out[i].shape));
            assert_memory_equal(k.out[i].data, t.out[i].data, t.out[i].bytes);
        }
        unmake(&k, ctx);
        node_end(&t);
    }
    sqz_ctx_free(ctx);
}

/* ---- refusals ---- */

static void refuse(const char *attrs, void (*spoil)(node *), sqz_status want, const char *part)
{
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {SEED, 1 << 20};
    node k = {.op = "lstm", .T = 3, .N = 2, .I = 3, .H = 4};
    give(&k, ctx, 0, SQZ_F32, shape(3, 2, 3), &r);
    give(&k, ctx, 1, SQZ_F32, shape(1, 16, 3), &r);
    give(&k, ctx, 2, SQZ_F32, shape(1, 16, 4), &r);
    give(&k, ctx, 4, SQZ_S32, (sqz_shape){1, {2}}, &r);
    (void)snprintf(k.attrs, sizeof k.attrs, "%s", attrs);
    if (spoil)
        spoil(&k);
    TEST_FAILS(ctx, run(&k, ctx), want, part);
    unmake(&k, ctx);
    sqz_ctx_free(ctx);
}

static void length_beyond(node *k) { SQZ_S32P(&k->in[4])[1] = 4; }
static void length_negative(node *k) { SQZ_S32P(&k->in[4])[0] = -1; }
static void flat_input(node *k) { k->in[0].shape = (sqz_shape){2, {6, 3}}; }
static void three_gates(node *k) { k->in[1].shape = shape(1, 12, 4); }

static void test_wrong_lengths_are_refused(void **state)
{
    (void)state;
    refuse("", length_beyond, SQZ_E_ARG, "sequence 1 has length 4, expected 0 .. 3");
    refuse("", length_negative, SQZ_E_ARG, "sequence 0 has length -1, expected 0 .. 3");
}

static void test_wrong_shapes_are_refused(void **state)
{
    (void)state;
    refuse("", flat_input, SQZ_E_SHAPE, "input 0 must have three dimensions");
    refuse("", three_gates, SQZ_E_SHAPE, "(input 1) are 1x12x4, expected 1x16x3");
    refuse("direction=bidirectional", NULL, SQZ_E_SHAPE, "are 1x16x3, expected 2x16x3");
}

static void test_wrong_activations_are_refused(void **state)
{
    (void)state;
    refuse("activations=Sigmoid,Tanh,Gauss", NULL, SQZ_E_UNSUPPORTED,
           "activation 'Gauss' is not known");
    refuse("activations=Sigmoid,Tanh", NULL, SQZ_E_FORMAT, "expected 3 of them");
    refuse("activations=Sigmoid,Tanh,Tanh,Tanh", NULL, SQZ_E_FORMAT, "expected 3 of them");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_nodes_are_the_formulas),
        cmocka_unit_test(test_a_node_of_a_file_is_the_same),
        cmocka_unit_test(test_wrong_lengths_are_refused),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_wrong_activations_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
