/* Damaged Keras files: refused with a sentence or read, never a crash. The files are tried in a
 * child process first, as in squeeze itself. */
#include "io/hdf5.h"
#include "keras_file.h"

/* libhdf5 itself forgets memory when a file is damaged. */
__attribute__((visibility("default"))) const char *
__lsan_default_suppressions(void); /* NOLINT(bugprone-reserved-identifier) */
const char *__lsan_default_suppressions(void) { return "leak:libhdf5"; }

static void *file_of(size_t *n)
{
    float v[64];
    kf_random(31, 64, v);
    keras_file k = kf_begin(
        "{\"class_name\":\"Sequential\",\"config\":[{\"class_name\":\"Conv1D\",\"config\":{"
        "\"name\":\"c\","
        "\"filters\":4,\"kernel_size\":[2],\"batch_input_shape\":[null,5,3]}},"
        "{\"class_name\":\"GlobalAveragePooling1D\",\"config\":{\"name\":\"g\"}},"
        "{\"class_name\":\"Dense\",\"config\":{\"name\":\"d\",\"units\":2,\"activation\":"
        "\"softmax\"}}]}",
        "2.8.0", true);
    kf_list(&k, k.group, "layer_names", "c,g,d");
    kf_layer(&k, "c", "c/kernel:0,c/bias:0");
    kf_layer(&k, "g", "");
    kf_layer(&k, "d", "d/kernel:0,d/bias:0");
    kf_weight(&k, "c/c/kernel:0", (sqz_shape){3, {2, 3, 4}}, v);
    kf_weight(&k, "c/c/bias:0", (sqz_shape){1, {4}}, v);
    kf_weight(&k, "d/d/kernel:0", (sqz_shape){2, {4, 2}}, v);
    kf_weight(&k, "d/d/bias:0", (sqz_shape){1, {2}}, v);
    return kf_end(&k, n);
}

static void attempt(sqz_ctx *ctx, const void *bytes, size_t n)
{
    sqz_graph *g;
    sqz_status s = sqz_import_bytes(ctx, bytes, n, NULL, &g);
    if (s != SQZ_OK)
        assert_true(strlen(sqz_last_error(ctx)) > 10);
    assert_true((s == SQZ_OK) == (g != NULL));
    sqz_graph_free(g);
}

static void test_truncated_files_are_refused(void **state)
{
    sqz_ctx *ctx = *state;
    size_t n;
    void *bytes = file_of(&n);
    for (size_t keep = 0; keep < n; keep += n / 40 + 1)
        attempt(ctx, bytes, keep);
    attempt(ctx, bytes, n);
    free(bytes);
}

static void test_flipped_bits_do_not_crash(void **state)
{
    sqz_ctx *ctx = *state;
    size_t n;
    unsigned char *bytes = file_of(&n);
    sqz_rng r = {.seed = 32};
    for (int i = 0; i < 150; i++) {
        size_t at = (size_t)sqz_rng_below(&r, n);
        /* half of them where the structure is: zeros fill most of the file */
        for (int k = 0; k < 50 && i % 2 && bytes[at] == 0; k++)
            at = (size_t)sqz_rng_below(&r, n);
        unsigned char was = bytes[at];
        bytes[at] = (unsigned char)(was ^ (1u << sqz_rng_below(&r, 8)));
        attempt(ctx, bytes, n);
        bytes[at] = was;
    }
    free(bytes);
}

static void test_damaged_json_does_not_crash(void **state)
{
    sqz_ctx *ctx = *state;
    char json[] =
        "{\"class_name\":\"Model\",\"config\":{\"name\":\"m\",\"layers\":[{\"name\":\"a\",\"class_"
        "name\":"
        "\"InputLayer\",\"config\":{\"batch_input_shape\":[null,4,4,2]},\"inbound_nodes\":[]},"
        "{\"name\":\"p\",\"class_name\":\"MaxPooling2D\",\"config\":{\"pool_size\":[2,2],"
        "\"strides\":"
        "[1,1],\"padding\":\"same\"},\"inbound_nodes\":[[[\"a\",0,0,{}]]]},{\"name\":\"z\",\"class_"
        "name\":"
        "\"ZeroPadding2D\",\"config\":{\"padding\":[[1,2],[0,3]]},\"inbound_nodes\":[[[\"p\",0,0,{}"
        "]]]},"
        "{\"name\":\"r\",\"class_name\":\"Reshape\",\"config\":{\"target_shape\":[-1,2]},"
        "\"inbound_nodes\":[[[\"z\",0,0,{}]]]}],\"input_layers\":[[\"a\",0,0]],\"output_layers\":"
        "[[\"r\",0,0]]}}";
    const size_t n = sizeof json - 1;
    sqz_graph *g;
    TEST_OK(ctx, sqz_import_bytes(ctx, json, n, NULL, &g));
    sqz_graph_free(g);
    sqz_rng r = {.seed = 33};
    static const char bytes[] = "0123456789-[]{}\",:.eE nulltrue";
    for (int i = 0; i < 3000; i++) {
        size_t at = (size_t)sqz_rng_below(&r, n);
        char was = json[at];
        json[at] = bytes[sqz_rng_below(&r, sizeof bytes - 1)];
        attempt(ctx, json, n);
        json[at] = was;
    }
    for (size_t keep = 0; keep < n; keep += 7)
        attempt(ctx, json, keep);
}

static int begin(void **state)
{
    sqz_h5_own_process();
    *state = test_ctx();
    return 0;
}

static int end(void **state)
{
    sqz_ctx_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_truncated_files_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_flipped_bits_do_not_crash, begin, end),
        cmocka_unit_test_setup_teardown(test_damaged_json_does_not_crash, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
