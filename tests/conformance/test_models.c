/* Published models against the outputs that another runtime stored for them (../shared/data/onnx):
 * ONNX files of six exporters, as imported and made canonical, and again after a trip through our
 * own file. Skipped (77) where that folder is not there. */
#include "exec/exec.h"
#include "io/import.h"
#include "ir/pass.h"
#include "sqz_test.h"
#include "tar.h"
#include <unistd.h>

#define DATA SQZ_SHARED_DIR "/data/onnx"
#define MOST 16 /* inputs or outputs */

/* Sums in another order: 1e-4 of the largest number is generous for float32. The others: */
static const struct {
    const char *model;
    double within;  /* as squeeze runs it */
    double literal; /* in floating point between its pairs; 0: not asked */
} others[] = {
    /* 98 convolutions deep: the runtime that stored it differs from itself by 4e-4, with and
     * without its optimizations, where the largest score is about 0.15 */
    {"picodet-xs-416", 3e-3, 0},
    /* Quantized by other tools. Taken literally, a file gives what was stored (a value on the edge
     * of a step may fall to the other side). On integers, every operator may differ by one step,
     * and 55 of them in a row by some. */
    {"micro-kws-m-qdq", 0.03, 0.01},
    {"mcunet-320kb-1mb-int8", 6.5 / 87, 3.5 / 87}, /* int8 of at most 87 */
    {"shufflenet-v2-int8", 0.05, 0},
};

typedef struct example { /* what is stored for a model */
    sqz_tensor in[MOST], out[MOST];
    unsigned n_in, n_out;
} example;

static unsigned stored(sqz_ctx *ctx, const tar *a, const char *model, const char *kind,
                       sqz_tensor out[MOST])
{
    unsigned k = 0;
    for (; k < MOST; k++) {
        char name[256];
        snprintf(name, sizeof name, "%s/%s_%u.pb", model, kind, k);
        const tar_member *m = tar_find(a, name);
        if (!m)
            break;
        TEST_OK(ctx, sqz_tensor_from_pb(ctx, m->data, m->n, &out[k], NULL, 0));
    }
    return k;
}

/* Largest difference, relative to the largest number of the output. */
static double distance(const sqz_tensor *want, const sqz_tensor *have)
{
    double top = 0, worst = 0;
    for (size_t i = 0; i < want->count; i++)
        top = fmax(top, fabs(sqz_tensor_f64(want, i)));
    for (size_t i = 0; i < want->count; i++) {
        double d = fabs(sqz_tensor_f64(want, i) - sqz_tensor_f64(have, i));
        if (!(d <= worst))
            worst = d;
    }
    return worst / (top > 0 ? top : 1);
}

static void run_and_compare(sqz_graph *g, const example *e, const sqz_given *given,
                            const char *model, const char *what, double within)
{
    sqz_tensor in[MOST], out[MOST];
    for (uint32_t i = 0; i < g->n_input; i++) { /* inputs that became constants are gone */
        const char *name = sqz_val(g, g->input[i])->name;
        unsigned k = 0;
        while (k < e->n_in && strcmp(given[k].name, name) != 0)
            k++;
        if (k == e->n_in)
            fail_msg("%s, %s: nothing is stored for input '%s'", model, what, name);
        in[i] = e->in[k];
    }
    assert_int_equal(g->n_output, e->n_out);
    TEST_OK(g->ctx, sqz_exec_once(g, in, out));
    for (unsigned i = 0; i < e->n_out; i++) {
        assert_true(sqz_shape_eq(&e->out[i].shape, &out[i].shape));
        double d = distance(&e->out[i], &out[i]);
        if (!(d <= within))
            fail_msg("%s, %s: output %u differs by %g of its largest number, %g is allowed", model,
                     what, i, d, within);
        sqz_tensor_free(g->ctx, &out[i]);
    }
}

/* Reads the file, or `bytes` when there are some, with the inputs' values and shapes. */
static sqz_graph *read_model(sqz_ctx *ctx, const char *path, const void *bytes, size_t n,
                             const example *e, sqz_given given[MOST])
{
    sqz_graph *g = NULL;
    for (unsigned i = 0; i < e->n_in; i++)
        given[i] = (sqz_given){.tensor = &e->in[i]};
    const sqz_import_options opt = {.path = path, .given = given, .n_given = e->n_in};
    if (bytes)
        TEST_OK(ctx, sqz_import_bytes(ctx, bytes, n, &opt, &g));
    else
        TEST_OK(ctx, sqz_import_file(ctx, &opt, NULL, &g));
    return g;
}

static void check_literal(sqz_ctx *ctx, const char *path, const example *e, const char *model,
                          double within)
{
    sqz_given given[MOST];
    sqz_graph *g = read_model(ctx, path, NULL, 0, e, given);
    TEST_OK(ctx, sqz_run_recipe(g, "widen,layout", NULL));
    run_and_compare(g, e, given, model, "literal", within);
    sqz_graph_free(g);
}

/* The same values, by the names that the first import found, for the file that was written. */
static void check_written(sqz_graph *g, const example *e, const sqz_given *given, const char *model,
                          double within)
{
    sqz_ctx *ctx = g->ctx;
    sqz_graph *back;
    void *bytes;
    size_t n;
    TEST_OK(ctx, sqz_export_onnx(g, &bytes, &n));
    TEST_OK(ctx, sqz_import_bytes(ctx, bytes, n, NULL, &back));
    sqz_free(ctx, bytes);
    TEST_OK(ctx, sqz_run_recipe(back, SQZ_CANONICAL, NULL));
    run_and_compare(back, e, given, model, "exported and read again", within);
    sqz_graph_free(back);
}

static void check(const char *path, const tar *a, const char *model)
{
    sqz_ctx *ctx = test_ctx();
    example e = {.n_in = 0};
    sqz_given given[MOST];
    double within = 1e-4, literal = 0;
    for (size_t i = 0; i < SQZ_COUNT(others); i++)
        if (strcmp(others[i].model, model) == 0) {
            within = others[i].within;
            literal = others[i].literal;
        }
    e.n_in = stored(ctx, a, model, "input", e.in);
    e.n_out = stored(ctx, a, model, "output", e.out);
    assert_true(e.n_in > 0 && e.n_out > 0);
    if (literal > 0)
        check_literal(ctx, path, &e, model, literal);
    sqz_graph *g = read_model(ctx, path, NULL, 0, &e, given);
    TEST_OK(ctx, sqz_run_recipe(g, SQZ_CANONICAL, NULL));
    run_and_compare(g, &e, given, model, "canonical", within);
    check_written(g, &e, given, model, within);
    sqz_graph_free(g);
    for (unsigned i = 0; i < e.n_in; i++)
        sqz_tensor_free(ctx, &e.in[i]);
    for (unsigned i = 0; i < e.n_out; i++)
        sqz_tensor_free(ctx, &e.out[i]);
    sqz_ctx_free(ctx);
}

/* Every model that the archive of a folder has inputs and outputs for; `least` of them at least. */
static void check_folder(const char *folder, unsigned least)
{
    static const char first[] = "/input_0.pb";
    char path[512], model[256];
    unsigned n = 0;
    tar a;
    snprintf(path, sizeof path, DATA "/%s/io.tar.gz", folder);
    const char *why = tar_open(path, &a);
    if (why)
        fail_msg("%s %s", path, why);
    for (size_t i = 0; i < a.n_member; i++) {
        size_t len = strlen(a.member[i].name), tail = sizeof first - 1;
        if (len <= tail || len - tail >= sizeof model ||
            strcmp(a.member[i].name + len - tail, first) != 0)
            continue;
        snprintf(model, sizeof model, "%.*s", (int)(len - tail), a.member[i].name);
        snprintf(path, sizeof path, DATA "/%s/%s.onnx", folder, model);
        check(path, &a, model);
        n++;
    }
    tar_close(&a);
    assert_true(n >= least);
}

static void test_onnx_models_compute_what_was_stored(void **p)
{
    (void)p;
    check_folder("models", 24);
}

static void test_onnx_models_of_the_second_folder(void **p)
{
    (void)p;
    check_folder("models-no-licence-stated", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_onnx_models_compute_what_was_stored),
        cmocka_unit_test(test_onnx_models_of_the_second_folder),
    };
    if (access(DATA "/models/io.tar.gz", R_OK) != 0) {
        print_message("skipped: " DATA " is not there\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
