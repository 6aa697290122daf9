/* awq, smoothquant and hqq: what they make less is less, what they must not change stays. */
#include "ir/qgrid.h"
#include "net.h"
#include "quant/scaling.h"

enum { T = 6, E = 32, O = 16 };

/* layer norm -> two products that read it; channel 3 and 7 of the activation are loud. */
static void build(net *n)
{
    sqz_vid x = net_input(n, (sqz_shape){3, {1, T, E}});
    sqz_vid gain = net_const(n, "gain", (sqz_shape){1, {E}}, 0.3);
    sqz_vid shift = net_const(n, "shift", (sqz_shape){1, {E}}, 0.1);
    net_numbers(n, "gain")[3] = 30;
    net_numbers(n, "gain")[7] = -20;
    sqz_vid ln = net_node(n, "layer_norm", "ln", "", 3, (sqz_vid[3]){x, gain, shift});
    sqz_vid a = net_binary(n, "matmul", "a", ln, net_const(n, "wa", (sqz_shape){2, {E, O}}, 0.3));
    sqz_vid b = net_binary(n, "matmul", "b", ln, net_const(n, "wb", (sqz_shape){2, {E, O}}, 0.3));
    sqz_vid y = net_binary(n, "add", "y", net_unary(n, "sigmoid", "sa", "", a), b);
    net_finish(n, 1, &y);
}

static void same_outputs(const sqz_graph *f, const sqz_graph *g, sqz_dataset *ds, double tolerance)
{
    size_t n, m;
    float *a = net_run(f, ds, 0, &n), *b = net_run(g, ds, 0, &m);
    double most = 0, off = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i]));
        off = fmax(off, fabs((double)a[i] - (double)b[i]));
    }
    if (!(off <= tolerance * most))
        fail_msg("outputs differ by %g of %g", off, most);
    free(a);
    free(b);
}

static sqz_graph *after(net *n, sqz_dataset *ds, const char *recipe)
{
    sqz_graph *g;
    sqz_env env = {.calib = ds};
    TEST_OK(n->ctx, sqz_graph_clone(n->g, &g));
    TEST_OK(n->ctx, sqz_run_recipe(g, recipe, &env));
    return g;
}

static double snr(net *n, sqz_dataset *ds, const char *recipe)
{
    sqz_graph *g = after(n, ds, recipe);
    size_t count;
    float *a = net_run(n->g, ds, 0, &count), *b = net_run(g, ds, 0, &count);
    const double db = net_snr(a, b, count);
    free(a);
    free(b);
    sqz_graph_free(g);
    return db;
}

static void test_scaling_without_clipping_is_exact(void **state)
{
    (void)state;
    static const char *const recipe[] = {"fold_bn,awq(clip=0 group=16)", "fold_bn,smoothquant",
                                         "fold_bn,smoothquant(alpha=0.5)"};
    for (size_t i = 0; i < SQZ_COUNT(recipe); i++) {
        net n = net_begin(i + 1);
        build(&n);
        sqz_dataset ds = net_data(&n, 24);
        sqz_graph *g = after(&n, &ds, recipe[i]);
        same_outputs(n.g, g, &ds, 2e-5);
        /* and something was done: the loud channel's gain is less */
        assert_true(SQZ_F32P(sqz_val(g, sqz_graph_find(g, "gain"))->constant)[3] < 20);
        sqz_graph_free(g);
        net_data_free(&ds);
        net_end(&n);
    }
}

/* E|(Q(w) - w) x|^2 of both layers over data, by naive sums in double; w and x of graph g. */
static double rounding_error(const sqz_graph *g, sqz_dataset *ds, int group, int limit)
{
    static const char *const name[] = {"wa", "wb"};
    sqz_exec *e;
    const sqz_exec_options o = {.keep_all = true};
    double all = 0, out[T * O];
    void *y = out;
    TEST_OK(g->ctx, sqz_exec_create(g, 1, &o, &e));
    for (int64_t s = 0; s < ds->n; s++) {
        float x[T * E];
        const void *in = x;
        TEST_OK(g->ctx, sqz_data_read(ds, s, 1, x, NULL));
        TEST_OK(g->ctx, sqz_exec_run(e, &in, &y));
        const float *h = SQZ_F32P(sqz_exec_value(e, sqz_graph_find(g, "ln")));
        for (int k = 0; k < 2; k++) {
            const float *w = SQZ_F32P(sqz_val(g, sqz_graph_find(g, name[k]))->constant);
            double d[E][O];
            for (int c = 0; c < O; c++)
                for (int b = 0; b < E; b += group) {
                    float most = 0;
                    for (int i = b; i < b + group; i++)
                        most = fmaxf(most, fabsf(w[i * O + c]));
                    const float scale = most / (float)limit;
                    for (int i = b; i < b + group; i++)
                        d[i][c] = (double)(nearbyintf(w[i * O + c] / scale) * scale - w[i * O + c]);
                }
            for (int t = 0; t < T; t++)
                for (int c = 0; c < O; c++) {
                    double sum = 0;
                    for (int i = 0; i < E; i++)
                        sum += d[i][c] * (double)h[t * E + i];
                    all += sum * sum;
                }
        }
    }
    sqz_exec_free(e);
    return all;
}

static void test_awq_is_never_worse_than_its_start(void **state)
{
    (void)state;
    bool better = false;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        net n = net_begin(seed);
        build(&n);
        sqz_dataset ds = net_data(&n, 24);
        sqz_graph *f = after(&n, &ds, "fold_bn"),
                  *g = after(&n, &ds, "fold_bn,awq(clip=0 group=16)");
        sqz_graph *h = after(&n, &ds, "fold_bn,awq(clip=0 group=16 steps=0)");
        const double before = rounding_error(f, &ds, 16, 7), now = rounding_error(g, &ds, 16, 7);
        assert_true(now <= before * 1.0001); /* each layer is weighed by its own loudness */
        better = better || now < 0.5 * before;
        assert_true(rounding_error(h, &ds, 16, 7) == before);
        sqz_graph_free(f);
        sqz_graph_free(g);
        sqz_graph_free(h);
        net_data_free(&ds);
        net_end(&n);
    }
    assert_true(better); /* two loud channels of 32 are what it is for */
}

static void test_methods_help_the_network(void **state)
{
    (void)state;
    net n = net_begin(7);
    build(&n);
    sqz_dataset ds = net_data(&n, 24);
#define INT4 "ptq(weights=4 group=16 activations=0 edges=0 ranges=minmax)"
    const double nearest = snr(&n, &ds, "fold_bn," INT4);
    assert_true(snr(&n, &ds, "fold_bn,awq(group=16)," INT4) > nearest + 1.5);
    assert_true(snr(&n, &ds, "fold_bn,smoothquant,calib,ptq") >
                snr(&n, &ds, "fold_bn,calib,ptq") + 1.5);
    net_data_free(&ds);
    net_end(&n);
}

/* ---- hqq ---- */

/* Sum of |w - s (q - z)|^0.7 over a constant. */
static double lp(const float *w, const sqz_graph *g, sqz_vid v)
{
    const sqz_value *q = sqz_val(g, v);
    double sum = 0;
    for (size_t i = 0; i < q->constant->count; i++) {
        const size_t k = sqz_quant_run(q->quant, &q->shape, i).first;
        const double real = (double)q->quant->scale[k] *
                            (double)(sqz_tensor_i64(q->constant, i) - q->quant->zero[k]);
        sum += pow(fabs((double)w[i] - real), 0.7);
    }
    return sum;
}

/* The codes that dequantize nodes read, in order. */
static sqz_vid codes(const sqz_graph *g, unsigned k)
{
    for (sqz_vid v = 0; v < g->n_value; v++)
        if (sqz_val(g, v)->constant && sqz_val(g, v)->quant && k-- == 0)
            return v;
    return SQZ_NONE;
}

static void test_the_objective_of_hqq_falls(void **state)
{
    (void)state;
    static const int bits[] = {4, 3, 2};
    for (size_t b = 0; b < SQZ_COUNT(bits); b++)
        for (int symmetric = 0; symmetric < 2; symmetric++) {
            net n = net_begin(b + 3);
            build(&n);
            sqz_dataset ds = net_data(&n, 8);
            char scheme[128], recipe[256];
            float *w = net_numbers(&n, "wa");
            for (size_t i = 0; i < (size_t)E * O; i++)
                w[i] += 0.5f; /* one-sided: what zero points are for */
            (void)snprintf(scheme, sizeof scheme,
                           "fold_bn,ptq(weights=%d group=16 activations=0 edges=0 ranges=minmax)",
                           bits[b]);
            (void)snprintf(recipe, sizeof recipe, "%s,hqq(symmetric=%d)", scheme, symmetric);
            sqz_graph *p = after(&n, &ds, scheme), *h = after(&n, &ds, recipe);
            bool zeros = false;
            double before = 0, now = 0;
            const int hi = (1 << (bits[b] - 1)) - 1;
            for (unsigned k = 0; k < 2; k++) {
                const sqz_vid v = codes(h, k);
                const float *f = net_numbers(&n, k ? "wb" : "wa");
                assert_true(v == codes(p, k));
                assert_memory_equal(sqz_val(h, v)->name, k ? "wb" : "wa", 2);
                before += lp(f, p, v);
                now += lp(f, h, v);
                const sqz_value *q = sqz_val(h, v);
                for (uint32_t i = 0; i < q->quant->n; i++)
                    zeros = zeros || q->quant->zero[i] != 0;
                for (size_t i = 0; i < q->constant->count; i++) {
                    const int64_t c = sqz_tensor_i64(q->constant, i);
                    assert_true(c <= hi && c >= -hi - !symmetric);
                }
            }
            if (!(now < (symmetric ? 1 : 0.97) * before))
                fail_msg("%d bits, symmetric %d: %g, was %g", bits[b], symmetric, now, before);
            assert_true(zeros == !symmetric);
            sqz_graph_free(p);
            sqz_graph_free(h);
            net_data_free(&ds);
            net_end(&n);
        }
}

/* Integer operators: symmetric, and biases stand on the new grids. */
static void test_hqq_on_integer_operators(void **state)
{
    (void)state;
    net n = net_begin(9);
    sqz_vid x = net_input(&n, (sqz_shape){4, {1, 3, 8, 8}});
    sqz_vid y = net_conv(&n, "b", net_unary(&n, "relu", "r", "", net_conv(&n, "a", x, 16, 3)), 4,
                         3);
    net_finish(&n, 1, &y);
    sqz_dataset ds = net_data(&n, 16);
    const double plain = snr(&n, &ds, "fold_bn,calib,ptq(weights=4 edges=0 ranges=minmax)");
    const double hqq = snr(&n, &ds, "fold_bn,calib,ptq(weights=4 edges=0 ranges=minmax),hqq");
    assert_true(hqq > plain - 0.5);
    sqz_graph *g = after(&n, &ds, "fold_bn,calib,ptq(weights=4 edges=0 ranges=minmax),hqq");
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *nd = sqz_nod(g, id);
        if (strcmp(nd->op->info.name, "conv2d") != 0)
            continue;
        const sqz_quant *qx = sqz_val(g, nd->in[0])->quant, *qw = sqz_val(g, nd->in[1])->quant,
                        *qb = sqz_val(g, nd->in[2])->quant;
        for (uint32_t c = 0; c < qw->n; c++) {
            assert_int_equal(qw->zero[c], 0);
            assert_true(qb->scale[c] == qx->scale[0] * qw->scale[c]);
            const char *name = nd->name[0] == 'a' ? "a.b" : "b.b";
            TEST_NEAR((double)qb->scale[c] * (double)SQZ_S32P(sqz_val(g, nd->in[2])->constant)[c],
                      (double)net_numbers(&n, name)[c], (double)qb->scale[c]);
        }
    }
    sqz_graph_free(g);
    net_data_free(&ds);
    net_end(&n);
}

static void test_what_is_missing_is_said(void **state)
{
    (void)state;
    net n = net_begin(1);
    build(&n);
    TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "fold_bn,awq", NULL), SQZ_E_ARG,
               "'awq' needs calibration");
    TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "smoothquant", NULL), SQZ_E_ARG,
               "needs calibration data");
    TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "hqq", NULL), SQZ_E_ARG, "ptq");
    sqz_dataset ds = net_data(&n, 4);
    sqz_env env = {.calib = &ds};
    TEST_OK(n.ctx, sqz_run_recipe(n.g, "calib,ptq", &env));
    TEST_FAILS(n.ctx, sqz_run_recipe(n.g, "awq", &env), SQZ_E_ARG, "before 'ptq'");
    net_data_free(&ds);
    net_end(&n);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scaling_without_clipping_is_exact),
        cmocka_unit_test(test_awq_is_never_worse_than_its_start),
        cmocka_unit_test(test_methods_help_the_network),
        cmocka_unit_test(test_the_objective_of_hqq_falls),
        cmocka_unit_test(test_hqq_on_integer_operators),
        cmocka_unit_test(test_what_is_missing_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
