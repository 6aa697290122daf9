/* Quantization-aware training: what is trained is what the quantized graph computes afterwards. */
#include "net.h"
#include "quant/qat.h"

enum { SAMPLES = 24, BATCH = 8, OUT = 5, STEPS = 12 };

/* conv - relu - [conv - relu - conv + skip] - relu - max pool - dwconv - clip - mean - gemm, of
 * random widths; with a concatenation where the seed is odd. */
static net make(uint64_t seed)
{
    net n = net_begin(seed);
    const int64_t wide = 4 + 4 * (int64_t)(seed % 3);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 8, 6}});
    sqz_vid a = net_unary(&n, "relu", "r1", "", net_conv(&n, "c1", x, wide, 3));
    sqz_vid b = net_unary(&n, "relu", "r2", "", net_conv(&n, "c2", a, wide, 3));
    sqz_vid s = net_binary(&n, "add", "sum", net_conv(&n, "c3", b, wide, 1), a);
    sqz_vid d = net_unary(&n, "relu", "r3", "", s);
    int64_t c = wide;
    if (seed % 2) {
        const sqz_vid both[2] = {d, b};
        d = net_node(&n, "concat", "cat", "axis=1", 2, both);
        c = 2 * wide;
    }
    d = net_unary(&n, "max_pool", "pool", "kernel_shape=2,2 strides=2,2", d);
    const sqz_vid dw[3] = {d, net_const(&n, "dw.w", (sqz_shape){4, {c, 1, 3, 3}}, 0.4),
                           net_const(&n, "dw.b", (sqz_shape){1, {c}}, 0.1)};
    char attrs[64];
    (void)snprintf(attrs, sizeof attrs, "group=%d pads=1,1,1,1", (int)c);
    d = net_node(&n, "conv2d", "dw", attrs, 3, dw);
    d = net_unary(&n, "clip", "six", "min=0 max=6", d);
    sqz_vid p = net_unary(&n, "global_average_pool", "mean", "", d);
    sqz_vid f = net_unary(&n, "flatten", "flat", "", p);
    sqz_vid fw[3] = {f, net_const(&n, "fc.w", (sqz_shape){2, {OUT, c}}, 0.5),
                     net_const(&n, "fc.b", (sqz_shape){1, {OUT}}, 0.1)};
    sqz_vid y = net_node(&n, "gemm", "fc", "", 3, fw);
    net_finish(&n, 1, &y);
    return n;
}

typedef struct trained {
    net n;
    sqz_dataset ds;
    sqz_graph *reference;
    sqz_qat *q;
    sqz_tape *tape;
    const sqz_trained *list;
    uint32_t n_list;
    const float **numbers;
} trained;

static void begin(trained *t, uint64_t seed, const char *recipe, int64_t batch)
{
    *t = (trained){.n = make(seed)};
    t->ds = net_data(&t->n, SAMPLES);
    sqz_env env = {.calib = &t->ds};
    TEST_OK(t->n.ctx, sqz_graph_clone(t->n.g, &t->reference));
    TEST_OK(t->n.ctx, sqz_run_recipe(t->n.g, recipe, &env));
    const sqz_qat_options o = {.batch = batch};
    TEST_OK(t->n.ctx, sqz_qat_make(t->reference, t->n.g, &o, &t->q));
    t->list = sqz_qat_trained(t->q, &t->n_list);
    sqz_vid *want = calloc(t->n_list, sizeof *want);
    t->numbers = calloc(t->n_list, sizeof *t->numbers);
    assert_non_null(want);
    assert_non_null(t->numbers);
    for (uint32_t i = 0; i < t->n_list; i++)
        want[i] = t->list[i].value;
    sqz_graph *g = sqz_qat_training(t->q)->g;
    sqz_vid read[64];
    uint32_t n_read = 0;
    for (sqz_vid v = 0; v < t->n.g->n_value; v++)
        if (!sqz_value_dead(sqz_val(t->n.g, v)) && sqz_qat_value(t->q, v) != SQZ_NONE)
            read[n_read++] = sqz_qat_value(t->q, v);
    TEST_OK(t->n.ctx, sqz_graph_verify(g));
    const sqz_tape_options to = {.want = want,
                                 .n_want = t->n_list,
                                 .seed = g->output,
                                 .n_seed = 1,
                                 .read = read,
                                 .n_read = n_read};
    TEST_OK(t->n.ctx, sqz_tape_create(g, &to, &t->tape));
    for (uint32_t i = 0; i < t->n_list; i++)
        t->numbers[i] = sqz_tape_data(t->tape, want[i]);
    free(want);
}

static void end(trained *t)
{
    sqz_tape_free(t->tape);
    sqz_qat_free(t->q);
    sqz_graph_free(t->reference);
    net_data_free(&t->ds);
    free(t->numbers);
    net_end(&t->n);
}

static void fill(trained *t)
{
    const sqz_graph *g = sqz_qat_training(t->q)->g;
    float *x = sqz_tape_data(t->tape, g->input[0]);
    for (size_t i = 0; i < sqz_tape_count(t->tape, g->input[0]); i++)
        x[i] = (float)sqz_rng_normal(&t->n.r);
}

/* Steps toward random outputs, so that everything moves. */
static double step(trained *t, float rate)
{
    const sqz_graph *g = sqz_qat_training(t->q)->g;
    const sqz_vid y = g->output[0];
    double loss = 0;
    TEST_OK(t->n.ctx, sqz_tape_forward(t->tape));
    for (size_t i = 0; i < sqz_tape_count(t->tape, y); i++) {
        const float d = sqz_tape_data(t->tape, y)[i] - (i % 3 == 0 ? 1.5f : -0.5f);
        sqz_tape_grad(t->tape, y)[i] = d / BATCH;
        loss += (double)(d * d);
    }
    TEST_OK(t->n.ctx, sqz_tape_backward(t->tape));
    for (uint32_t i = 0; i < t->n_list; i++) {
        float *w = sqz_tape_data(t->tape, t->list[i].value);
        const float *d = sqz_tape_grad(t->tape, t->list[i].value);
        for (size_t k = 0; k < sqz_tape_count(t->tape, t->list[i].value); k++)
            w[k] = fmaxf(w[k] - rate * d[k], (float)t->list[i].floor);
    }
    return loss;
}

typedef struct looker {
    const trained *t;
    size_t codes, other, far; /* compared; another code; more than one step apart */
} looker;

/* Codes of the integer run against what the fake quantization of that value made. */
static sqz_status look(void *user, sqz_nid node, sqz_vid v, const sqz_tensor *x)
{
    looker *l = user;
    const sqz_graph *g = l->t->n.g;
    const sqz_quant *q = sqz_val(g, v)->quant;
    const sqz_vid fake = sqz_qat_value(l->t->q, v);
    (void)node;
    if (!q || fake == SQZ_NONE)
        return SQZ_OK;
    const float *y = sqz_tape_data(l->t->tape, fake);
    assert_int_equal(x->count, sqz_tape_count(l->t->tape, fake));
    for (size_t i = 0; i < x->count; i++) {
        const double code = (double)y[i] / (double)q->scale[0] + q->zero[0];
        const double apart = fabs(nearbyint(code) - (double)sqz_tensor_i64(x, i));
        assert_true(fabs(code - nearbyint(code)) < 1e-3); /* the imitation is on the grid */
        l->codes++;
        l->other += apart > 0;
        l->far += apart > 1;
    }
    return SQZ_OK;
}

static void compare(trained *t, looker *l, double *worst)
{
    const sqz_graph *g = sqz_qat_training(t->q)->g;
    sqz_exec *e;
    float y[BATCH * OUT];
    const void *in = sqz_tape_data(t->tape, g->input[0]);
    void *out = y;
    *l = (looker){.t = t};
    const sqz_exec_options o = {.hook = look, .hook_user = l};
    TEST_OK(t->n.ctx, sqz_tape_forward(t->tape));
    TEST_OK(t->n.ctx, sqz_exec_create(t->n.g, BATCH, &o, &e));
    TEST_OK(t->n.ctx, sqz_exec_run(e, &in, &out));
    *worst = 0;
    for (size_t i = 0; i < BATCH * OUT; i++)
        *worst = fmax(*worst, fabs((double)y[i] - (double)sqz_tape_data(t->tape, g->output[0])[i]));
    sqz_exec_free(e);
}

/* Convolutions may be in Winograd's form, with an error of some 1e-6 of the largest sum, 1e-4
 * codes. A number within the rounding of both arithmetics of the border of two codes may get the
 * one or the other, and hands that on: few do, and by one step where the step is theirs. */
static void equal_after(const char *recipe, uint64_t seeds, double most_other)
{
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        trained t;
        looker l;
        double worst;
        begin(&t, seed, recipe, BATCH);
        fill(&t);
        for (int i = 0; i < STEPS; i++)
            (void)step(&t, 0.02f);
        TEST_OK(t.n.ctx, sqz_qat_write(t.q, t.numbers, t.n.g));
        TEST_OK(t.n.ctx, sqz_graph_verify(t.n.g));
        compare(&t, &l, &worst);
        if ((double)l.other > most_other * (double)l.codes || l.far || l.codes < 1000)
            fail_msg("%s, seed %d: of %zu codes %zu are others, %zu by more than a step; outputs "
                     "%g apart",
                     recipe, (int)seed, l.codes, l.other, l.far, worst);
        end(&t);
    }
}

static void test_the_integer_run_computes_what_was_trained(void **state)
{
    (void)state;
    equal_after("calib,ptq", 6, 0.002);
}
static void test_at_4_and_2_bits_too(void **state)
{
    (void)state;
    equal_after("calib,ptq(weights=4)", 3, 0.002);
    equal_after("calib,ptq(weights=2)", 3, 0.002);
    equal_after("calib,ptq(weights=4 activations=4)", 3, 0.002);
    equal_after("calib,ptq(per_tensor=1)", 2, 0.002);
}

/* The loss falls, and scales take part: with them it falls further than with weights alone. */
static void test_steps_lower_the_loss_of_the_quantized_network(void **state)
{
    (void)state;
    trained t;
    begin(&t, 2, "calib,ptq(weights=2 activations=4)", BATCH);
    fill(&t);
    const double first = step(&t, 0.02f);
    double last = first;
    for (int i = 0; i < 60; i++)
        last = step(&t, 0.02f);
    assert_true(last < 0.7 * first);
    end(&t);
}

/* Before a step, the training graph is the quantized graph, weights rounded to nearest. */
static void test_training_begins_with_the_quantized_model(void **state)
{
    (void)state;
    trained t;
    looker l;
    double worst;
    begin(&t, 3, "calib,ptq", BATCH);
    fill(&t);
    compare(&t, &l, &worst);
    assert_true(l.far == 0 && (double)l.other < 0.002 * (double)l.codes && l.codes > 1000);
    end(&t);
}

static void test_what_it_cannot_do_is_said(void **state)
{
    (void)state;
    net n = make(5);
    sqz_dataset ds = net_data(&n, SAMPLES);
    sqz_env env = {.calib = &ds};
    sqz_graph *reference;
    sqz_qat *q;
    const sqz_qat_options o = {.batch = 2};
    TEST_OK(n.ctx, sqz_graph_clone(n.g, &reference));
    TEST_FAILS(n.ctx, sqz_qat_make(reference, n.g, &o, &q), SQZ_E_ARG,
               "the model is not quantized");
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "calib,ptq(weights=4 group=16 edges=0)", &env));
    TEST_FAILS(n.ctx, sqz_qat_make(reference, n.g, &o, &q), SQZ_E_UNSUPPORTED,
               "quantize without blocks");
    sqz_graph_free(reference);
    net_data_free(&ds);
    net_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_integer_run_computes_what_was_trained),
        cmocka_unit_test(test_at_4_and_2_bits_too),
        cmocka_unit_test(test_steps_lower_the_loss_of_the_quantized_network),
        cmocka_unit_test(test_training_begins_with_the_quantized_model),
        cmocka_unit_test(test_what_it_cannot_do_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
