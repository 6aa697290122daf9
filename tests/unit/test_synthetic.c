/* Calibration samples from the statistics of batch norms. */
#include "net.h"
#include "train/synthetic.h"

enum { SIDE = 6, REAL = 64 };

static net make(uint64_t seed)
{
    net n = net_begin(seed);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, SIDE, SIDE}});
    sqz_vid a = net_unary(&n, "relu", "r1", "", net_conv(&n, "c1", x, 6, 3));
    sqz_vid b = net_unary(&n, "relu", "r2", "", net_conv(&n, "c2", a, 6, 3));
    sqz_vid y = net_conv(&n, "c3", b, 4, 1);
    net_finish(&n, 1, &y);
    return n;
}

/* Mean and standard deviation of each channel of every convolution, over the samples of ds. */
typedef struct moments {
    double sum[3][6], square[3][6], count;
} moments;
typedef struct watch {
    const sqz_graph *g;
    moments *m;
} watch;
static sqz_status look(void *user, sqz_nid node, sqz_vid value, const sqz_tensor *t)
{
    static const char *const name[] = {"c1", "c2", "c3"};
    const watch *w = user;
    (void)value;
    for (int k = 0; node != SQZ_NONE && k < 3; k++) {
        if (strcmp(sqz_nod(w->g, node)->name, name[k]) != 0)
            continue;
        const size_t c = (size_t)t->shape.dim[3];
        for (size_t i = 0; i < t->count; i++) {
            w->m->sum[k][i % c] += (double)SQZ_F32P(t)[i];
            w->m->square[k][i % c] += pow((double)SQZ_F32P(t)[i], 2);
        }
    }
    return SQZ_OK;
}

static moments measure(const sqz_graph *g, sqz_dataset *ds)
{
    moments m = {.count = (double)ds->n * SIDE * SIDE};
    watch w = {g, &m};
    sqz_exec *e;
    float *x = aligned_alloc(64, 64 * 64), *raw = malloc(64 * 64), *y = aligned_alloc(64, 64 * 64);
    const void *in = x;
    void *out = y;
    const sqz_exec_options o = {.hook = look, .hook_user = &w};
    sqz_feed f;
    TEST_OK(g->ctx, sqz_exec_create(g, 1, &o, &e));
    TEST_OK(g->ctx, sqz_feed_plan(g->ctx, ds, sqz_val(g, g->input[0]), NULL, &f));
    for (int64_t i = 0; i < ds->n; i++) {
        TEST_OK(g->ctx, sqz_data_read(ds, i, 1, raw, NULL));
        sqz_feed_apply(&f, 1, raw, x);
        TEST_OK(g->ctx, sqz_exec_run(e, &in, &out));
    }
    sqz_exec_free(e);
    free(x);
    free(raw);
    free(y);
    return m;
}

/* What batch norms would remember of data that are no noise: smooth, shifted and larger. */
static moments remember(net *n)
{
    sqz_dataset ds = net_data(n, REAL);
    float *x = ds.impl;
    for (size_t i = 1; i < (size_t)REAL * 3 * SIDE * SIDE; i++)
        x[i] = 0.8f * x[i - 1] + x[i] + 0.3f;
    const moments m = measure(n->g, &ds);
    for (int k = 0; k < 3; k++) {
        const char *name[] = {"c1", "c2", "c3"};
        const uint32_t c = k == 2 ? 4 : 6;
        float mean[6], sd[6];
        for (uint32_t i = 0; i < c; i++) {
            mean[i] = (float)(m.sum[k][i] / m.count);
            sd[i] = (float)sqrt(m.square[k][i] / m.count - pow(m.sum[k][i] / m.count, 2));
        }
        TEST_OK(n->ctx, sqz_value_set_normal(n->g, sqz_graph_find(n->g, name[k]), c, mean, sd));
    }
    net_data_free(&ds);
    return m;
}

/* Largest distance of means, and of standard deviations, in units of the latter. */
static double distance(const moments *a, const moments *b)
{
    double worst = 0;
    for (int k = 0; k < 3; k++)
        for (int c = 0; c < (k == 2 ? 4 : 6); c++) {
            const double ma = a->sum[k][c] / a->count, mb = b->sum[k][c] / b->count;
            const double sa = sqrt(a->square[k][c] / a->count - ma * ma);
            const double sb = sqrt(b->square[k][c] / b->count - mb * mb);
            worst = fmax(worst, fmax(fabs(ma - mb), fabs(sa - sb)) / sa);
        }
    return worst;
}

static void test_samples_have_the_statistics(void **state)
{
    (void)state;
    net n = make(3);
    const moments want = remember(&n);
    sqz_dataset *ds, noise = net_data(&n, 40);
    sqz_str notes = {.ctx = n.ctx};
    const sqz_synthetic_options o = {.samples = 40, .steps = 300, .seed = 1, .notes = &notes};
    TEST_OK(n.ctx, sqz_synthetic_data(n.g, &o, &ds));
    assert_true(ds->n == 40 && ds->shape.rank == 3);
    const moments got = measure(n.g, ds), start = measure(n.g, &noise);
    assert_true(distance(&want, &start) > 0.5);
    if (distance(&want, &got) > 0.15)
        fail_msg("distance %g, of noise %g", distance(&want, &got), distance(&want, &start));
    assert_non_null(strstr(notes.data, "40 samples were made from the statistics of 3"));
    sqz_str_free(&notes);
    sqz_data_close(ds);
    net_data_free(&noise);
    net_end(&n);
}

static void test_samples_calibrate_a_recipe(void **state)
{
    (void)state;
    net n = make(4);
    (void)remember(&n);
    sqz_dataset *ds;
    TEST_OK(n.ctx,
            sqz_synthetic_data(n.g, &(sqz_synthetic_options){.samples = 8, .steps = 20}, &ds));
    sqz_env env = {.calib = ds};
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "calib,ptq", &env));
    assert_true(n.g->have & SQZ_HAS_QUANT);
    sqz_data_close(ds);
    net_end(&n);
}

static void test_same_samples_again(void **state)
{
    (void)state;
    float x[2][3 * SIDE * SIDE * 5];
    for (int k = 0; k < 2; k++) {
        net n = make(5);
        (void)remember(&n);
        sqz_dataset *ds;
        TEST_OK(n.ctx,
                sqz_synthetic_data(n.g, &(sqz_synthetic_options){.samples = 5, .steps = 10}, &ds));
        TEST_OK(n.ctx, sqz_data_read(ds, 0, 5, x[k], NULL));
        sqz_data_close(ds);
        net_end(&n);
    }
    assert_memory_equal(x[0], x[1], sizeof x[0]);
}

static void test_a_model_without_batch_norms_is_refused(void **state)
{
    (void)state;
    net n = make(6);
    sqz_dataset *ds;
    TEST_FAILS(n.ctx, sqz_synthetic_data(n.g, &(sqz_synthetic_options){0}, &ds), SQZ_E_UNSUPPORTED,
               "no batch norm");
    net_end(&n);
}

/* A classifier whose first convolution remembers the statistics of normal noise. */
static net classifier(uint64_t seed)
{
    net n = net_begin(seed);
    const float mean[6] = {0}, sd[6] = {1, 1, 1, 1, 1, 1};
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, SIDE, SIDE}});
    x = net_unary(&n, "tanh", "r1", "", net_conv(&n, "c1", x, 6, 3));
    x = net_unary(&n, "flatten", "f", "", net_unary(&n, "global_average_pool", "p", "", x));
    x = net_binary(&n, "matmul", "z", x, net_const(&n, "w", (sqz_shape){2, {6, 5}}, 1));
    x = net_unary(&n, "softmax", "y", "axis=-1", x);
    net_finish(&n, 1, &x);
    TEST_OK(n.ctx, sqz_value_set_normal(n.g, sqz_graph_find(n.g, "c1"), 6, mean, sd));
    return n;
}

/* Share of samples that are given the class of their turn, and mean squared difference of
 * horizontal neighbors. */
static void look_at(net *n, sqz_dataset *ds, double *sure, double *rough)
{
    size_t count;
    float x[3 * SIDE * SIDE];
    float *y = net_run(n->g, ds, 0, &count);
    const int64_t inner = ds->layout == SQZ_LAYOUT_NHWC ? 3 : 1;
    *sure = *rough = 0;
    for (int64_t i = 0; i < ds->n; i++) {
        size_t best = 0;
        for (size_t k = 0; k < 5; k++)
            best = y[i * 5 + (int64_t)k] > y[i * 5 + (int64_t)best] ? k : best;
        *sure += (best == (size_t)i % 5) / (double)ds->n;
        TEST_OK(n->ctx, sqz_data_read(ds, i, 1, x, NULL));
        for (int64_t e = 0; e < 3 * SIDE * SIDE; e++)
            if (e / inner % SIDE + 1 < SIDE)
                *rough += pow((double)(x[e + inner] - x[e]), 2) / (double)ds->n;
    }
    free(y);
}

static void test_samples_can_be_of_classes_and_smooth(void **state)
{
    (void)state;
    net n = classifier(9);
    double sure[2], rough[2];
    for (int k = 0; k < 2; k++) {
        const sqz_synthetic_options o = {
            .samples = 20, .steps = 200, .one_hot = 10 * k, .variation = k};
        sqz_dataset *ds;
        TEST_OK(n.ctx, sqz_synthetic_data(n.g, &o, &ds));
        /* samples stand as the network's input does: channel-last */
        look_at(&n, ds, &sure[k], &rough[k]);
        sqz_data_close(ds);
    }
    if (sure[0] > 0.5 || sure[1] < 0.9 || rough[1] > 0.7 * rough[0])
        fail_msg("sure %g and %g, rough %g and %g", sure[0], sure[1], rough[0], rough[1]);
    net_end(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_have_the_statistics),
        cmocka_unit_test(test_samples_calibrate_a_recipe),
        cmocka_unit_test(test_same_samples_again),
        cmocka_unit_test(test_samples_can_be_of_classes_and_smooth),
        cmocka_unit_test(test_a_model_without_batch_norms_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
