/* Estimates of the four MLPerf Tiny networks against what engines reached on real boards. The
 * networks are int8 ONNX files of a v1.3 submission; skipped where the data folder is absent. */
#include "device/device.h"
#include "io/import.h"
#include "ir/pass.h"
#include "sqz_test.h"
#include <unistd.h>

#define MODELS SQZ_SHARED_DIR "/data/mlperf-tiny/models/thirdparty_qdq_int8/"

static const char *const network[] = {"ad01_k1_qdq.onnx", "ic01_k1_qdq.onnx", "kws01_k1_qdq.onnx",
                                      "vww01_k1_qdq.onnx"};

/* Milliseconds of the fastest and the slowest optimized engine (X-CUBE-AI, Plumerai, Bosch HALO,
 * ONNC) in the closed division of v0.7 to v1.3, without the vww results that dropped channels. */
static const struct {
    const char *device;
    double least[4], most[4]; /* ad, ic, kws, vww */
} board[] = {
    {"nucleo-l4r5zi", {4.05, 165.1, 43.2, 180.5}, {9.67, 298.7, 97.7, 254.7}},
    {"nucleo-h7a3zi", {1.08, 40.8, 11.3, 43.6}, {2.29, 84.6, 22.3, 64.4}},
    {"nucleo-u575zi", {3.09, 104.2, 28.9, 114.7}, {5.73, 158.2, 54.9, 151.7}},
    {"nucleo-g0b1re", {40.8, 1521, 474, 1414}, {46.6, 1670, 680, 1869}},
};

static void load(sqz_ctx *ctx, const char *name, sqz_graph **g)
{
    char path[500];
    sqz_env env = {0};
    (void)snprintf(path, sizeof path, "%s%s", MODELS, name);
    TEST_OK(ctx, sqz_import_file(ctx, &(sqz_import_options){.path = path}, NULL, g));
    TEST_OK(ctx, sqz_run_recipe(*g, "fold_const,fold_qdq,layout,dce", &env));
}

static void test_latency_lies_among_the_published(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    if (access(MODELS, R_OK) != 0) {
        sqz_ctx_free(ctx);
        skip();
    }
    for (size_t b = 0; b < SQZ_COUNT(board); b++)
        for (size_t k = 0; k < SQZ_COUNT(network); k++) {
            sqz_graph *g;
            sqz_device *d;
            sqz_estimate *e;
            load(ctx, network[k], &g);
            TEST_OK(ctx, sqz_device_load(ctx, board[b].device, &d));
            TEST_OK(ctx, sqz_estimate_graph(g, d, &e));
            /* quantize and dequantize at the ends are ours to time, not the benchmark's: 10 % */
            if (e->latency * 1e3 < board[b].least[k] || e->latency * 1e3 > 1.1 * board[b].most[k])
                fail_msg("%s on %s: %.2f ms, published %.2f to %.2f", network[k], board[b].device,
                         e->latency * 1e3, board[b].least[k], board[b].most[k]);
            sqz_estimate_free(ctx, e);
            sqz_device_free(ctx, d);
            sqz_graph_free(g);
        }
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latency_lies_among_the_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
