/* float16, bfloat16 and float64 graphs compute in float32 and keep the types of their edges. */
#include "eval.h"
#include "exec/exec.h"
#include "ir/pass.h"
#include <math.h>

static sqz_graph *widened(sqz_ctx *ctx, const char *text)
{
    sqz_graph *g = NULL;
    TEST_OK(ctx, sqz_graph_parse(ctx, text, &g));
    TEST_OK(ctx, sqz_run_recipe(g, SQZ_CANONICAL, NULL));
    SQZ_EACH_NODE(g, n)
    {
        const sqz_node *nd = sqz_nod(g, n);
        if (strcmp(nd->op->info.name, "cast") != 0)
            assert_int_equal(sqz_val(g, nd->out[0])->dtype, SQZ_F32);
    }
    return g;
}

/* 6 numbers in, 6 out, in the types of the graph's edges. */
static void run(sqz_ctx *ctx, const sqz_graph *g, const double *x, double *y)
{
    const sqz_value *in = sqz_val(g, g->input[0]), *out = sqz_val(g, g->output[0]);
    sqz_tensor a, b;
    sqz_exec *e = NULL;
    TEST_OK(ctx, sqz_tensor_alloc(ctx, in->dtype, &in->shape, &a));
    TEST_OK(ctx, sqz_tensor_alloc(ctx, out->dtype, &out->shape, &b));
    for (size_t i = 0; i < 6; i++)
        sqz_tensor_set_f64(&a, i, x[i]);
    TEST_OK(ctx, sqz_exec_create(g, in->shape.dim[0], NULL, &e));
    TEST_OK(ctx, sqz_exec_run(e, (const void *const[]){a.data}, (void *const[]){b.data}));
    for (size_t i = 0; i < 6; i++)
        y[i] = sqz_tensor_f64(&b, i);
    sqz_exec_free(e);
    sqz_tensor_free(ctx, &a);
    sqz_tensor_free(ctx, &b);
}

static void test_every_float_type_computes_and_keeps_its_edges(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        sqz_dtype dtype;
        double step; /* relative, of numbers below 8 */
    } row[] = {{"f16", SQZ_F16, 0x1p-11}, {"bf16", SQZ_BF16, 0x1p-8}, {"f64", SQZ_F64, 0x1p-22}};
    static const double x[6] = {0.5, -1.25, 2, -0.75, 0, 1.5};
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        char text[512];
        double y[6];
        sqz_ctx *ctx = test_ctx();
        (void)snprintf(text, sizeof text,
                       "graph \"\"\ninput x %s 2x3\nconst w %s 3 = 0.5 1 -2\n"
                       "a = prelu(x, w)\nr = reshape(a) shape=2,3\ny = exp(r)\noutput y\n",
                       row[i].type, row[i].type);
        sqz_graph *g = widened(ctx, text);
        assert_int_equal(sqz_val(g, g->input[0])->dtype, row[i].dtype);
        assert_int_equal(sqz_val(g, g->output[0])->dtype, row[i].dtype);
        assert_string_equal(sqz_val(g, g->output[0])->name, "y");
        run(ctx, g, x, y);
        for (size_t k = 0; k < 6; k++) {
            double want = exp(x[k] < 0 ? x[k] * (double[]){0.5, 1, -2}[k % 3] : x[k]);
            assert_true(fabs(y[k] - want) <= 2 * row[i].step * want);
        }
        sqz_graph_free(g);
        sqz_ctx_free(ctx);
    }
}

static void test_casts_between_floats_go_and_others_stay(void **state)
{
    (void)state;
    static const double x[6] = {0.1, 1.6, -2.7, 3, -0.2, 7.9};
    double y[6];
    unsigned casts = 0;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = widened(ctx, "graph \"\"\ninput x f32 2x3\na = cast(x) to=10\nb = tanh(a)\n"
                                "c = cast(b) to=1\nd = exp(c)\ny = cast(d) to=6\noutput y\n");
    SQZ_EACH_NODE(g, n) { casts += strcmp(sqz_nod(g, n)->op->info.name, "cast") == 0; }
    assert_int_equal(casts, 1);
    run(ctx, g, x, y);
    for (size_t k = 0; k < 6; k++)
        assert_true(y[k] == trunc(exp(tanh(x[k]))));
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

/* Doubles stay where every operator takes them: numbers beyond float32 come out right. */
static void test_graphs_of_double_arithmetic_stay_double(void **state)
{
    (void)state;
    static const double x[6] = {1e200, -1e-200, 3, 0.1, 1e39, -7};
    double y[6];
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = NULL;
    TEST_OK(ctx,
            sqz_graph_parse(ctx,
                            "graph \"\"\ninput x f64 2x3\nconst c f64 3 = 1 2 0.5\n"
                            "a = mul(x, c)\nr = reshape(a) shape=2,3\ny = sub(r, c)\noutput y\n",
                            &g));
    TEST_OK(ctx, sqz_run_recipe(g, SQZ_CANONICAL, NULL));
    SQZ_EACH_NODE(g, n) { assert_int_equal(sqz_val(g, sqz_nod(g, n)->out[0])->dtype, SQZ_F64); }
    run(ctx, g, x, y);
    for (size_t k = 0; k < 6; k++) {
        const double c = (double[]){1, 2, 0.5}[k % 3];
        assert_true(y[k] == x[k] * c - c);
    }
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_doubles_meet_halves_in_one_graph(void **state)
{
    (void)state;
    static const double x[6] = {1e200, 0.5, 3, 0.1, -2, -7};
    double y[6];
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = NULL;
    TEST_OK(ctx, sqz_graph_parse(ctx,
                                 "graph \"\"\ninput x f64 2x3\nconst c f16 3 = 1 2 0.5\n"
                                 "a = cast(x) to=10\ny = add(a, c)\noutput y\n",
                                 &g));
    TEST_OK(ctx, sqz_run_recipe(g, SQZ_CANONICAL, NULL));
    TEST_OK(ctx, sqz_graph_verify(g));
    run(ctx, g, x, y);
    assert_true(y[0] == INFINITY && y[1] == 2.5 && y[2] == 3.5 && y[5] == -6.5);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_float_type_computes_and_keeps_its_edges),
        cmocka_unit_test(test_casts_between_floats_go_and_others_stay),
        cmocka_unit_test(test_graphs_of_double_arithmetic_stay_double),
        cmocka_unit_test(test_doubles_meet_halves_in_one_graph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
