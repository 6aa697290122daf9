/* Analytic bias correction: expectations of clamped normals against numerical integration. */
#include "net.h"

static const char text[] = "graph \"\"\ninput x f32 1x2x6x6\n"
                           "const w f32 3x2x1x1 = 1 -2 0.5 0.25 -1 3\n"
                           "const s f32 3 = 1.5 -0.7 0.2\nconst t f32 3 = 0.3 -0.4 7\n"
                           "const m f32 3 = 0 0 0\nconst v f32 3 = 1 1 1\n"
                           "const k f32 2x3x3x3 =%s\nconst b f32 2 = 0.5 -1\n"
                           "a = conv2d(x, w)\ny = batch_norm(a, s, t, m, v) epsilon=0\n"
                           "%s\n"
                           "o = conv2d(z, k, b) @last pads=1,1,1,1\noutput o\n";

/* Mean of min(max(x, lo), hi) for x normal: midpoints over 12 deviations each way. */
static double expected(double m, double s, double lo, double hi)
{
    enum { N = 200000 };
    double sum = 0;
    for (int i = 0; i < N; i++) {
        const double u = 24.0 * ((i + 0.5) / N - 0.5), x = m + s * u;
        sum += fmin(fmax(x, lo), hi) * exp(-u * u / 2) / sqrt(2 * M_PI) * (24.0 / N);
    }
    return sum;
}

/* The network with `clamp` (which makes z of y), quantized to weights of 4 bits; k: 54 numbers. */
static sqz_graph *make(sqz_ctx *ctx, const char *clamp, const char *recipe, float *k)
{
    sqz_rng r = {.seed = 5};
    char numbers[2048] = "", all[4096];
    sqz_graph *g;
    for (size_t i = 0; i < 54; i++) {
        char one[32];
        sqz_print_f32(one, k[i] = (float)sqz_rng_normal(&r));
        strcat(numbers, " ");
        strcat(numbers, one);
    }
    (void)snprintf(all, sizeof all, text, numbers, clamp);
    TEST_OK(ctx, sqz_graph_parse(ctx, all, &g));
    TEST_OK(ctx, sqz_run_recipe(g, recipe, NULL));
    return g;
}

static sqz_vid operand(const sqz_graph *g, unsigned slot)
{
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        if (strcmp(n->name, "last") == 0) {
            const sqz_vid v = n->in[slot];
            return sqz_val(g, v)->constant ? v : sqz_nod(g, sqz_val(g, v)->producer)->in[0];
        }
    }
    return SQZ_NONE;
}

static void test_means_of_clamped_normals_are_made_up_for(void **state)
{
    (void)state;
    static const double mean[] = {0.3, -0.4, 7}, sd[] = {1.5, 0.7, 0.2};
    static const struct {
        const char *clamp;
        double lo, hi[3];
    } row[] = {
        {"z = relu(y)", 0, {INFINITY, INFINITY, INFINITY}},
        {"z = clip(y) min=-1 max=6", -1, {6, 6, 6}},
        {"const u f32 3x1x1 = 1 0.5 7\nq = relu(y)\nz = min(q, u)", 0, {1, 0.5, 7}},
        {"z = identity(y)", -INFINITY, {INFINITY, INFINITY, INFINITY}},
    };
    sqz_ctx *ctx = test_ctx();
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        float k[54];
        sqz_graph *g = make(
            ctx, row[i].clamp,
            SQZ_CANONICAL ",ptq(weights=4 activations=0 edges=0),bias_correct_analytic", k);
        const sqz_value *w = sqz_val(g, operand(g, 1)), *b = sqz_val(g, operand(g, 2));
        for (size_t o = 0; o < 2; o++) {
            double want = o ? -1 : 0.5;
            for (size_t t = 0; t < 9; t++)
                for (size_t c = 0; c < 3; c++) { /* (O,Kh,Kw,I), the file has (O,I,Kh,Kw) */
                    const double real = (double)w->quant->scale[w->quant->n == 1 ? 0 : o] *
                                        (double)sqz_tensor_i64(w->constant, (o * 9 + t) * 3 + c);
                    const double fy = t / 3 == 1 ? 1 : 5.0 / 6, fx = t % 3 == 1 ? 1 : 5.0 / 6;
                    want += ((double)k[(o * 3 + c) * 9 + t] - real) * fy * fx *
                            expected(mean[c], sd[c], row[i].lo, row[i].hi[c]);
                }
            TEST_NEAR(sqz_tensor_f64(b->constant, o), want, 2e-5 * fabs(want) + 1e-6);
        }
        sqz_graph_free(g);
    }
    sqz_ctx_free(ctx);
}

static void test_layers_that_nothing_describes_stay(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    float k[54];
    sqz_graph *g = make(ctx, "z = sigmoid(y)",
                        SQZ_CANONICAL ",ptq(weights=4 activations=0 edges=0),bias_correct_analytic",
                        k);
    assert_true(sqz_tensor_f64(sqz_val(g, operand(g, 2))->constant, 0) == 0.5);
    sqz_graph_free(g);
    g = make(ctx, "z = relu(y)", SQZ_CANONICAL, k);
    TEST_FAILS(ctx, sqz_run_recipe(g, "bias_correct_analytic", NULL), SQZ_E_ARG, "ptq");
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_means_of_clamped_normals_are_made_up_for),
        cmocka_unit_test(test_layers_that_nothing_describes_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
