/* Weights back into Keras files: what a squeezed model computes, its Keras file computes. */
#include "io/export_keras.h"
#include "keras_file.h"

#define S(r, ...) ((sqz_shape){r, {__VA_ARGS__}})

/* Conv2D without bias, BatchNormalization, ReLU, Flatten, Dense: every fold there is. */
static const char *const config =
    "{\"class_name\":\"Sequential\",\"config\":{\"name\":\"s\",\"layers\":["
    "{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"c\",\"filters\":3,\"kernel_size\":[2,2],"
    "\"use_bias\":false,\"batch_input_shape\":[null,4,4,2]}},"
    "{\"class_name\":\"BatchNormalization\",\"config\":{\"name\":\"n\",\"axis\":[3],%s"
    "\"epsilon\":0.001}},"
    "{\"class_name\":\"ReLU\",\"config\":{\"name\":\"r\"}},"
    "{\"class_name\":\"Flatten\",\"config\":{\"name\":\"f\"}},"
    "{\"class_name\":\"Dense\",\"config\":{\"name\":\"d\",\"units\":%d}},"
    "{\"class_name\":\"BatchNormalization\",\"config\":{\"name\":\"e\",\"axis\":[1]}}]}}";

static void *file_with(uint64_t seed, bool center, int units, size_t *n)
{
    char text[4096];
    float v[512], var[8];
    kf_random(seed, 512, v);
    for (int i = 0; i < 8; i++)
        var[i] = 0.5f + v[i] * v[i];
    (void)snprintf(text, sizeof text, config, center ? "" : "\"center\":false,", units);
    keras_file k = kf_begin(text, "2.4.0", true);
    kf_text(&k, k.f, "training_config", "{}");
    kf_list(&k, k.group, "layer_names", "c,n,r,f,d,e");
    kf_layer(&k, "c", "c/kernel:0");
    kf_layer(&k, "n",
             center ? "n/gamma:0,n/beta:0,n/moving_mean:0,n/moving_variance:0"
                    : "n/gamma:0,n/moving_mean:0,n/moving_variance:0");
    kf_layer(&k, "r", "");
    kf_layer(&k, "f", "");
    kf_layer(&k, "d", "d/kernel:0,d/bias:0");
    kf_layer(&k, "e", "e/gamma:0,e/beta:0,e/moving_mean:0,e/moving_variance:0");
    kf_weight(&k, "c/c/kernel:0", S(4, 2, 2, 2, 3), v);
    kf_weight(&k, "n/n/gamma:0", S(1, 3), v + 30);
    if (center)
        kf_weight(&k, "n/n/beta:0", S(1, 3), v + 40);
    kf_weight(&k, "n/n/moving_mean:0", S(1, 3), v + 50);
    kf_weight(&k, "n/n/moving_variance:0", S(1, 3), var);
    kf_weight(&k, "d/d/kernel:0", S(2, 27, units), v + 60);
    kf_weight(&k, "d/d/bias:0", S(1, units), v + 200);
    kf_weight(&k, "e/e/gamma:0", S(1, units), v + 210);
    kf_weight(&k, "e/e/beta:0", S(1, units), v + 220);
    kf_weight(&k, "e/e/moving_mean:0", S(1, units), v + 230);
    kf_weight(&k, "e/e/moving_variance:0", S(1, units), var + 2);
    return kf_end(&k, n);
}

static void *file_of(bool center, int units, size_t *n) { return file_with(21, center, units, n); }

/* The file as a user gets it back: canonical, as ONNX, imported again. */
static sqz_graph *through_onnx(sqz_ctx *ctx, const void *file, size_t n)
{
    sqz_graph *g, *back;
    sqz_env env = {0};
    void *onnx;
    size_t onnx_n;
    TEST_OK(ctx, sqz_import_bytes(ctx, file, n, NULL, &g));
    TEST_OK(ctx, sqz_run_recipe(g, SQZ_CANONICAL, &env));
    TEST_OK(ctx, sqz_graph_add_meta(g, "squeeze.recipe", "none"));
    TEST_OK(ctx, sqz_export_onnx(g, &onnx, &onnx_n));
    sqz_graph_free(g);
    TEST_OK(ctx, sqz_import_bytes(ctx, onnx, onnx_n, NULL, &back));
    sqz_free(ctx, onnx);
    return back;
}

static void test_folded_norms_become_the_identity(void **state)
{
    (void)state;
    for (int center = 0; center < 2; center++) {
        sqz_ctx *ctx = test_ctx();
        size_t n;
        void *file = file_of(center, 4, &n);
        sqz_graph *model = through_onnx(ctx, file, n), *before, *after;
        SQZ_EACH_NODE(model, id)
        {
            assert_string_not_equal(sqz_nod(model, id)->op->info.name, "batch_norm");
        }
        sqz_keras_export e;
        TEST_OK(ctx, sqz_export_keras(ctx, model, file, n, NULL, &e));
        assert_int_equal(e.norms, 2);
        assert_int_equal(e.written, center ? 11 : 10);
        TEST_OK(ctx, sqz_import_bytes(ctx, file, n, NULL, &before));
        TEST_OK(ctx, sqz_import_bytes(ctx, e.bytes, e.n, NULL, &after));
        float x[32], a[4], b[4];
        kf_random(22, 32, x);
        assert_int_equal(kf_run(ctx, before, (const float *const[]){x}, a, 4), 4);
        assert_int_equal(kf_run(ctx, after, (const float *const[]){x}, b, 4), 4);
        for (int i = 0; i < 4; i++)
            TEST_NEAR((double)b[i], (double)a[i], 1e-5);
        /* the weights are others: the norm is in them */
        const sqz_tensor *w = sqz_val(after, sqz_graph_find(after, "c/kernel"))->constant;
        const sqz_tensor *v = sqz_val(before, sqz_graph_find(before, "c/kernel"))->constant;
        assert_true(memcmp(w->data, v->data, w->bytes) != 0);
        sqz_graph_free(before);
        sqz_graph_free(after);
        sqz_graph_free(model);
        sqz_free(ctx, e.bytes);
        free(file);
        sqz_ctx_free(ctx);
    }
}

static void test_a_smaller_layer_is_refused_by_name(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    size_t n, other_n;
    void *file = file_of(true, 4, &n), *other = file_of(true, 2, &other_n);
    sqz_graph *model = through_onnx(ctx, other, other_n);
    sqz_keras_export e;
    TEST_FAILS(ctx, sqz_export_keras(ctx, model, file, n, NULL, &e), SQZ_E_SHAPE,
               "layer 'd': the model has weights of shape 2x27");
    assert_null(e.bytes);
    sqz_graph_free(model);
    free(file);
    free(other);
    sqz_ctx_free(ctx);
}

static void test_a_stranger_is_refused(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    size_t n;
    void *file = file_of(true, 4, &n);
    sqz_graph *model;
    sqz_vid x, y;
    const sqz_shape s = S(2, 1, 4);
    sqz_keras_export e;
    TEST_OK(ctx, sqz_graph_create(ctx, &model));
    TEST_OK(ctx, sqz_graph_input(model, "x", SQZ_F32, &s, &x));
    TEST_OK(ctx, sqz_graph_node_text(model, "relu", "r", NULL, &x, 1, SQZ_NONE, &y));
    TEST_OK(ctx, sqz_graph_set_outputs(model, &y, 1));
    TEST_FAILS(ctx, sqz_export_keras(ctx, model, file, n, NULL, &e), SQZ_E_UNSUPPORTED,
               "node 'c' (conv2d) of the Keras file is not in the model");
    TEST_FAILS(ctx, sqz_export_keras(ctx, model, "{}", 2, NULL, &e), SQZ_E_FORMAT, "must be HDF5");
    sqz_graph_free(model);
    free(file);
    sqz_ctx_free(ctx);
}

/* Weights of one file into the graph of another: what comes out is the other file's model. */
static void test_weights_join_a_graph_by_name_and_shape(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    const char *path = "keras_join.h5";
    size_t n, other_n, onnx_n;
    void *file = file_of(true, 4, &n), *other = file_with(77, true, 4, &other_n), *onnx;
    sqz_graph *g, *want, *got;
    float x[32], a[4], b[4];
    TEST_OK(ctx, sqz_import_bytes(ctx, file, n, NULL, &g));
    TEST_OK(ctx, sqz_export_onnx(g, &onnx, &onnx_n));
    TEST_OK(ctx, sqz_import_bytes(ctx, other, other_n, NULL, &want));
    TEST_OK(ctx, sqz_file_write(ctx, path, other, other_n));
    const sqz_import_options opt = {.weights = path};
    TEST_OK(ctx, sqz_import_bytes(ctx, onnx, onnx_n, &opt, &got));
    kf_random(22, 32, x);
    assert_int_equal(kf_run(ctx, want, (const float *const[]){x}, a, 4), 4);
    assert_int_equal(kf_run(ctx, got, (const float *const[]){x}, b, 4), 4);
    for (int i = 0; i < 4; i++)
        TEST_NEAR((double)b[i], (double)a[i], 1e-6);
    sqz_graph_free(got);
    free(other);
    other = file_of(true, 2, &other_n); /* a smaller last layer: no place for it */
    TEST_OK(ctx, sqz_file_write(ctx, path, other, other_n));
    TEST_FAILS(ctx, sqz_import_bytes(ctx, onnx, onnx_n, &opt, &got), SQZ_E_SHAPE,
               "weight 'd/kernel:0' (27x2): the graph has no initializer for it");
    assert_null(got);
    (void)remove(path);
    sqz_free(ctx, onnx);
    sqz_graph_free(g);
    sqz_graph_free(want);
    free(file);
    free(other);
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folded_norms_become_the_identity),
        cmocka_unit_test(test_a_smaller_layer_is_refused_by_name),
        cmocka_unit_test(test_a_stranger_is_refused),
        cmocka_unit_test(test_weights_join_a_graph_by_name_and_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
