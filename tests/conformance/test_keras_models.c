/* The Keras files beside the repository, against what Keras stored of them: io.tar.gz has one
 * prediction of tf_keras each, *_inputs_and_outputs.h5 what the Keras that trained a model said. */
#include "io/hdf5.h"
#include "../keras_file.h"
#include "tar.h"
#include <unistd.h>

#define DATA SQZ_SHARED_DIR "/data/onnx/keras"

static void compare(const char *what, const sqz_tensor *got, const sqz_tensor *want)
{
    double largest = 0;
    assert_int_equal(got->count, want->count);
    for (size_t i = 0; i < want->count; i++)
        largest = fmax(largest, fabs(sqz_tensor_f64(want, i)));
    for (size_t i = 0; i < want->count; i++) {
        double d = fabs(sqz_tensor_f64(got, i) - sqz_tensor_f64(want, i));
        if (!(d <= 1e-4 * largest))
            fail_msg("%s: number %zu is %g, stored %g", what, i, sqz_tensor_f64(got, i),
                     sqz_tensor_f64(want, i));
    }
}

static void check(sqz_ctx *ctx, const char *file, const sqz_tensor *in, const sqz_tensor *want)
{
    char path[512];
    sqz_graph *g;
    sqz_env env = {0};
    sqz_tensor out[1];
    (void)snprintf(path, sizeof path, DATA "/%s", file);
    TEST_OK(ctx, sqz_import_file(ctx, &(sqz_import_options){.path = path}, NULL, &g));
    assert_int_equal(g->n_output, 1);
    TEST_OK(ctx, sqz_run_recipe(g, SQZ_CANONICAL, &env));
    TEST_OK(ctx, sqz_exec_once(g, in, out));
    compare(file, &out[0], want);
    sqz_tensor_free(ctx, &out[0]);
    sqz_graph_free(g);
}

static void test_stored_predictions_of_tf_keras(void **state)
{
    (void)state;
    static const char tail[] = "/output_0.pb";
    sqz_ctx *ctx = test_ctx();
    tar t;
    unsigned n = 0;
    assert_null(tar_open(DATA "/io.tar.gz", &t));
    for (size_t i = 0; i < t.n_member; i++) {
        char file[256], name[256], input[300];
        sqz_tensor in, want;
        size_t len = strlen(t.member[i].name), cut = sizeof tail - 1;
        if (len <= cut || strcmp(t.member[i].name + len - cut, tail) != 0)
            continue;
        (void)snprintf(file, sizeof file, "%.*s", (int)(len - cut), t.member[i].name);
        (void)snprintf(input, sizeof input, "%s/input_0.pb", file);
        const tar_member *x = tar_find(&t, input);
        assert_non_null(x);
        TEST_OK(ctx, sqz_tensor_from_pb(ctx, x->data, x->n, &in, name, sizeof name));
        TEST_OK(ctx, sqz_tensor_from_pb(ctx, t.member[i].data, t.member[i].n, &want, name,
                                        sizeof name));
        check(ctx, file, &in, &want);
        sqz_tensor_free(ctx, &in);
        sqz_tensor_free(ctx, &want);
        n++;
    }
    assert_true(n >= 19);
    tar_close(&t);
    sqz_ctx_free(ctx);
}

static void test_predictions_of_the_keras_that_trained(void **state)
{
    static const struct pair {
        const char *model, *stored, *in, *out;
    } pairs[] = {{"dl4j/examples__simple_lstm__simple_lstm_tf_keras_1_model.h5",
                  DATA "/dl4j/examples__simple_lstm__simple_lstm_tf_keras_1_inputs_and_outputs.h5",
                  "inputs/lstm_input_1", "predictions/dense_1"},
                 {"dl4j/examples__simple_rnn__simple_rnn_tf_keras_2_model.h5",
                  DATA "/dl4j/examples__simple_rnn__simple_rnn_tf_keras_2_inputs_and_outputs.h5",
                  "inputs/simple_rnn_1_input", "predictions/dense_1"}};
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(pairs); i++) {
        sqz_ctx *ctx = test_ctx();
        sqz_h5_guard guard;
        uint64_t size;
        hid_t f;
        sqz_tensor in, want;
        TEST_OK(ctx, sqz_h5_size(ctx, pairs[i].stored, &size));
        sqz_h5_enter(&guard);
        TEST_OK(ctx, sqz_h5_open(ctx, pairs[i].stored, &f));
        TEST_OK(ctx, sqz_h5_read_f32(ctx, f, pairs[i].in, size, &in));
        TEST_OK(ctx, sqz_h5_read_f32(ctx, f, pairs[i].out, size, &want));
        (void)H5Fclose(f);
        sqz_h5_leave(&guard);
        check(ctx, pairs[i].model, &in, &want);
        sqz_tensor_free(ctx, &in);
        sqz_tensor_free(ctx, &want);
        sqz_ctx_free(ctx);
    }
}

/* Every file is read, or refused for what is in it. */
static void test_others_are_read_or_refused_by_name(void **state)
{
    static const struct file {
        const char *name, *refused;
    } files[] = {{"dl4j/weights__space_to_depth_graph_tensorflow_2.h5",
                  "layer 'space_to_depth_x2' (Lambda): its Python code is not in the file"},
                 {"dl4j/examples__simple_flatten_rnn__simple_flatten_rnn_tf_keras_2_weights.h5",
                  "it has weights only (no attribute model_config)"},
                 {"dl4j/weights__bidirectional_lstm_theano_1.h5", NULL},
                 {"dl4j/weights__conv2d_reshape_theano_1.h5", NULL},
                 {"dl4j/weights__embedding_conv1d_extended_theano_2.h5", NULL},
                 {"dl4j/keras__simple__cnn_tf_model.h5", NULL}};
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(files); i++) {
        sqz_ctx *ctx = test_ctx();
        char path[512];
        sqz_graph *g;
        (void)snprintf(path, sizeof path, DATA "/%s", files[i].name);
        const sqz_import_options opt = {.path = path};
        sqz_status s = sqz_import_file(ctx, &opt, NULL, &g);
        if ((s == SQZ_OK) != (files[i].refused == NULL) ||
            (s != SQZ_OK && !strstr(sqz_last_error(ctx), files[i].refused)))
            fail_msg("%s: status %d: %s", files[i].name, (int)s, sqz_last_error(ctx));
        sqz_graph_free(g);
        sqz_ctx_free(ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stored_predictions_of_tf_keras),
        cmocka_unit_test(test_predictions_of_the_keras_that_trained),
        cmocka_unit_test(test_others_are_read_or_refused_by_name),
    };
    if (access(DATA "/io.tar.gz", R_OK) != 0) {
        print_message("skipped: " DATA " is not there\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
