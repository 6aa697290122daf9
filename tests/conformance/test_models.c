/* Published models against the outputs that another runtime stored for them (../shared/data/onnx):
 * as imported and made canonical, and again after a trip through our own file. Skipped (77) where
 * that folder is not there. */
#include "exec/exec.h"
#include "io/import.h"
#include "ir/pass.h"
#include "sqz_test.h"
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#define DATA SQZ_SHARED_DIR "/data/onnx"

typedef struct archive { /* an unpacked .tar */
    unsigned char *bytes;
    size_t n;
} archive;

static archive read_archive(const char *path)
{
    archive a = {0};
    size_t room = 1 << 22;
    gzFile f = gzopen(path, "rb");
    assert_non_null(f);
    a.bytes = malloc(room);
    for (int got; (got = gzread(f, a.bytes + a.n, (unsigned)(room - a.n))) > 0;) {
        a.n += (size_t)got;
        if (a.n == room)
            a.bytes = realloc(a.bytes, room *= 2);
    }
    gzclose(f);
    return a;
}

/* The member `name`: its bytes and their number; NULL: none. */
static const unsigned char *member(const archive *a, const char *name, size_t *n)
{
    for (size_t at = 0; at + 512 <= a->n && a->bytes[at];) {
        char size[13] = {0};
        memcpy(size, a->bytes + at + 124, 12);
        *n = strtoull(size, NULL, 8);
        if (strncmp((const char *)a->bytes + at, name, 100) == 0)
            return a->bytes + at + 512;
        at += 512 + (*n + 511) / 512 * 512;
    }
    return NULL;
}

static sqz_tensor stored(sqz_ctx *ctx, const archive *a, const char *model, const char *kind,
                         unsigned k)
{
    char name[120];
    size_t n = 0;
    sqz_tensor t;
    snprintf(name, sizeof name, "%s/%s_%u.pb", model, kind, k);
    const unsigned char *p = member(a, name, &n);
    if (!p)
        fail_msg("%s is not in the archive", name);
    TEST_OK(ctx, sqz_tensor_from_pb(ctx, p, n, &t, NULL, 0));
    return t;
}

/* From the file's layout to that of the value. */
static void turn(sqz_ctx *ctx, const sqz_value *v, sqz_tensor *t)
{
    int perm[SQZ_MAX_RANK];
    sqz_tensor out;
    if (!v->channel_last)
        return;
    for (int32_t i = 0; i < v->shape.rank; i++)
        perm[i] = i == 0 ? 0 : i == v->shape.rank - 1 ? 1 : i + 1;
    TEST_OK(ctx, sqz_tensor_permute(ctx, t, perm, &out));
    sqz_tensor_free(ctx, t);
    *t = out;
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

static void run_and_compare(sqz_graph *g, const archive *a, const char *model, const char *what,
                            double within)
{
    sqz_ctx *ctx = g->ctx;
    sqz_tensor in[4], out[16];
    const void *ip[4];
    void *op[16];
    sqz_exec *e;
    assert_in_range(g->n_input, 1, SQZ_COUNT(in));
    assert_in_range(g->n_output, 1, SQZ_COUNT(out));
    for (unsigned i = 0; i < g->n_input; i++) {
        in[i] = stored(ctx, a, model, "input", i);
        turn(ctx, sqz_val(g, g->input[i]), &in[i]);
        assert_true(sqz_shape_eq(&in[i].shape, &sqz_val(g, g->input[i])->shape));
        ip[i] = in[i].data;
    }
    for (unsigned i = 0; i < g->n_output; i++) {
        const sqz_value *v = sqz_val(g, g->output[i]);
        TEST_OK(ctx, sqz_tensor_alloc(ctx, v->dtype, &v->shape, &out[i]));
        op[i] = out[i].data;
    }
    TEST_OK(ctx, sqz_exec_create(g, sqz_val(g, g->input[0])->shape.dim[0], NULL, &e));
    TEST_OK(ctx, sqz_exec_run(e, ip, op));
    sqz_exec_free(e);
    for (unsigned i = 0; i < g->n_output; i++) {
        sqz_tensor want = stored(ctx, a, model, "output", i);
        assert_true(sqz_shape_eq(&want.shape, &out[i].shape));
        double d = distance(&want, &out[i]);
        if (!(d <= within))
            fail_msg("%s, %s: output %u differs by %g of its largest number, %g is allowed", model,
                     what, i, d, within);
        sqz_tensor_free(ctx, &want);
        sqz_tensor_free(ctx, &out[i]);
    }
    for (unsigned i = 0; i < g->n_input; i++)
        sqz_tensor_free(ctx, &in[i]);
}

static void check(const char *folder, const archive *a, const char *model, double within)
{
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g, *back;
    void *bytes;
    size_t n;
    char path[400];
    snprintf(path, sizeof path, DATA "/%s/%s.onnx", folder, model);
    TEST_OK(ctx, sqz_import_file(ctx, &(sqz_import_options){.path = path}, NULL, &g));
    TEST_OK(ctx, sqz_run_recipe(g, SQZ_CANONICAL, NULL));
    run_and_compare(g, a, model, "canonical", within);
    TEST_OK(ctx, sqz_export_onnx(g, &bytes, &n));
    TEST_OK(ctx, sqz_import_bytes(ctx, bytes, n, NULL, &back));
    sqz_free(ctx, bytes);
    TEST_OK(ctx, sqz_run_recipe(back, SQZ_CANONICAL, NULL));
    run_and_compare(back, a, model, "exported and read again", within);
    sqz_graph_free(back);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void check_folder(const char *folder, const char *const *name, size_t n, double within)
{
    char path[400];
    snprintf(path, sizeof path, DATA "/%s/io.tar.gz", folder);
    archive a = read_archive(path);
    for (size_t i = 0; i < n; i++)
        check(folder, &a, name[i], within);
    free(a.bytes);
}

/* Sums in another order: 1e-4 of the largest number is generous for float32. */
static void test_float_networks_compute_what_was_stored(void **p)
{
    static const char *const name[] = {"cifar10-pytorch-winml",
                                       "espcn-float",
                                       "fer2013-mini-xception",
                                       "micro-kws-m-fp32",
                                       "mnist-burn",
                                       "mnist-cntk-winml",
                                       "mobilenet_v1_0.25_224-imagenet",
                                       "ppocrv2-cls",
                                       "squeezenet1.1-fp32",
                                       "streaming-espdl",
                                       "ultraface-slim-320",
                                       "vittracker",
                                       "yamnet-256",
                                       "yunet-n-320"};
    (void)p;
    check_folder("models", name, SQZ_COUNT(name), 1e-4);
}

/* 98 convolutions deep: the runtime that stored it differs from itself by 4e-4, with and without
 * its optimizations, where the largest score is about 0.15. */
static void test_a_deep_network_computes_what_was_stored(void **p)
{
    static const char *const name[] = {"picodet-xs-416"};
    (void)p;
    check_folder("models", name, SQZ_COUNT(name), 3e-3);
}

static void test_float_networks_of_the_second_folder(void **p)
{
    static const char *const name[] = {"cifar10-marabou-medium", "cifar10-resnet-2b",
                                       "cifar10-sri-resnet-a", "cifar10-vit-ibp"};
    (void)p;
    check_folder("models-no-licence-stated", name, SQZ_COUNT(name), 1e-4);
}

/* Files that other tools quantized. Taken literally, in floating point between its pairs, a file
 * gives what was stored (a value on the edge of a step may fall to the other side). On integers,
 * every operator may differ by one step, and 55 of them in a row by some. */
static void check_quantized(const archive *a, const char *model, double literal, double integer)
{
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g;
    char path[400];
    snprintf(path, sizeof path, DATA "/models/%s.onnx", model);
    TEST_OK(ctx, sqz_import_file(ctx, &(sqz_import_options){.path = path}, NULL, &g));
    TEST_OK(ctx, sqz_run_recipe(g, "layout", NULL));
    run_and_compare(g, a, model, "literal", literal);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
    check("models", a, model, integer);
}

static void test_quantized_networks_stay_close(void **p)
{
    archive a = read_archive(DATA "/models/io.tar.gz");
    (void)p;
    check_quantized(&a, "micro-kws-m-qdq", 0.01, 0.03);
    check_quantized(&a, "mcunet-320kb-1mb-int8", 3.5 / 87, 6.5 / 87); /* int8 of at most 87 */
    free(a.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float_networks_compute_what_was_stored),
        cmocka_unit_test(test_a_deep_network_computes_what_was_stored),
        cmocka_unit_test(test_float_networks_of_the_second_folder),
        cmocka_unit_test(test_quantized_networks_stay_close),
    };
    if (access(DATA "/models/io.tar.gz", R_OK) != 0) {
        print_message("skipped: " DATA " is not there\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
