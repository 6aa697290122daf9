/* Published networks (../shared/data) cut at random: the graph without the channels runs, keeps its
 * names, and computes for every value what the whole graph computes with zeros in their place.
 * Skipped (77) where that folder is not there. */
#include "exec/exec.h"
#include "io/import.h"
#include "ir/pass.h"
#include "prune/lossless.h"
#include "prune_case.h"
#include "train/training.h"
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST   (4 << 20) /* bytes of a file */
#define INPUTS 16

static const char *const folders[] = {SQZ_SHARED_DIR "/data/onnx/models",
                                      SQZ_SHARED_DIR "/data/onnx/keras",
                                      SQZ_SHARED_DIR "/data/onnx/models-no-licence-stated",
                                      SQZ_SHARED_DIR "/data/mlperf-tiny/models"};

typedef struct claim {
    char path[400];
} claim;

static sqz_graph *load(sqz_ctx *ctx, const char *path)
{
    sqz_import_options o = {.path = path};
    sqz_import_source source = {.unhashed = true};
    sqz_graph *g = NULL;
    if (sqz_import_file(ctx, &o, &source, &g) == SQZ_OK && !(g->have & SQZ_HAS_QUANT))
        TEST_OK(ctx, sqz_run_recipe(g, SQZ_TRAINABLE, NULL));
    return g;
}

static void inputs(const sqz_graph *g, sqz_tensor *in)
{
    sqz_rng r = {.seed = 11};
    for (uint32_t i = 0; i < g->n_input; i++) {
        const sqz_value *v = sqz_val(g, g->input[i]);
        TEST_OK(g->ctx, sqz_tensor_alloc(g->ctx, v->dtype, &v->shape, &in[i]));
        for (size_t k = 0; k < in[i].count; k++)
            sqz_tensor_set_f64(&in[i], k, sqz_dtype_is_float(v->dtype) ? sqz_rng_uniform(&r) : 1);
    }
}

/* Float channels of weights that may leave, of all; for the log. */
static void tell(const char *path, const sqz_classes *c, uint32_t gone, double error)
{
    const char *name = strrchr(path, '/') + 1;
    uint32_t free = 0;
    for (uint32_t f = 0; f < c->n_family; f++)
        free += c->family[f].n;
    printf("           %s: %u families, %u classes may leave, %u left, error %.1e\n", name,
           c->n_family, free, gone, error);
}

static void test_cut(void **state)
{
    const claim *cl = *state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = load(ctx, cl->path);
    sqz_classes *c;
    sqz_tensor in[INPUTS];
    if (!g || (g->have & SQZ_HAS_QUANT) || g->n_input > INPUTS) {
        printf("           not imported: %s\n", g ? "quantized" : sqz_last_error(ctx));
        sqz_graph_free(g);
        sqz_ctx_free(ctx);
        skip();
    }
    inputs(g, in);
    TEST_OK(ctx, sqz_classes_build(g, NULL, &c));
    bool *gone = calloc(c->n_class + 1, sizeof *gone), shifts;
    sqz_rng r = {.seed = 17};
    for (int round = 0; round < 2; round++) {
        const uint32_t n = prune_draw(c, &r, round ? 0.7 : 0.2, gone, &shifts);
        for (uint32_t f = 0; f < c->n_family; f++) /* where the theory says so */
            for (uint32_t i = 0; c->family[f].shifts && i < c->family[f].n; i++)
                gone[c->member[c->family[f].first + i]] = false;
        tell(cl->path, c, n, prune_check(c, gone, in, PRUNE_EXACT));
    }
    prune_draw(c, &r, 0.5, gone, &shifts);
    prune_check(c, gone, in, PRUNE_SHAPES);
    for (uint32_t i = 0; i < g->n_input; i++)
        sqz_tensor_free(ctx, &in[i]);
    free(gone);
    sqz_classes_free(c);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

/* ---- MLPerf Tiny's person detector: most of its channels never get through their relu ---- */

#define VWW  SQZ_SHARED_DIR "/data/mlperf-tiny/models/vww01_mobilenet96.h5"
#define SEEN SQZ_SHARED_DIR "/data/mlperf-tiny/data/vww01/calib100_x_u8.npy"

/* Images of 0 .. 1. */
static sqz_dataset *images(sqz_ctx *ctx)
{
    sqz_dataset *raw, *ds;
    TEST_OK(ctx, sqz_data_open(ctx, SEEN, NULL, &raw));
    const size_t one = 96 * 96 * 3, n = (size_t)raw->n;
    float *x = sqz_malloc(ctx, n * one * sizeof *x);
    TEST_OK(ctx, sqz_data_read(raw, 0, raw->n, x, NULL));
    for (size_t i = 0; i < n * one; i++)
        x[i] /= 255;
    TEST_OK(ctx, sqz_data_in_memory(ctx, SEEN, &raw->shape, SQZ_LAYOUT_NHWC, raw->n, x, &ds));
    sqz_data_close(raw);
    return ds;
}

static float *answers(const sqz_graph *g, sqz_dataset *ds, size_t *n)
{
    sqz_graph *copy;
    sqz_exec *e;
    const size_t one = 96 * 96 * 3;
    TEST_OK(g->ctx, sqz_graph_clone(g, &copy));
    TEST_OK(g->ctx, sqz_run_recipe(copy, "fold_bn,dce", NULL));
    TEST_OK(g->ctx, sqz_exec_create(copy, 1, NULL, &e));
    float *x = aligned_alloc(SQZ_ALIGN, one * sizeof *x), *y = calloc(2 * (size_t)ds->n, sizeof *y);
    *n = 2 * (size_t)ds->n;
    for (int64_t i = 0; i < ds->n; i++) {
        const void *in = x;
        void *out = y + 2 * i;
        TEST_OK(g->ctx, sqz_data_read(ds, i, 1, x, NULL));
        TEST_OK(g->ctx, sqz_exec_run(e, &in, &out));
    }
    free(x);
    sqz_exec_free(e);
    sqz_graph_free(copy);
    return y;
}

static void sizes(const sqz_graph *g, uint64_t *weights, uint64_t *macs)
{
    *weights = *macs = 0;
    for (sqz_vid v = 0; v < g->n_value; v++)
        if (!sqz_value_dead(sqz_val(g, v)) && sqz_val(g, v)->constant &&
            sqz_val(g, v)->shape.rank > 1)
            *weights += sqz_val(g, v)->constant->count;
    SQZ_EACH_NODE(g, id)
    {
        sqz_cost c;
        sqz_node_cost(g, sqz_nod(g, id), &c);
        *macs += c.macs;
    }
}

static void test_dead_channels_of_the_person_detector(void **state)
{
    (void)state;
    if (access(VWW, R_OK) != 0 || access(SEEN, R_OK) != 0)
        skip();
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = load(ctx, VWW), *h;
    sqz_dataset *ds = images(ctx);
    const sqz_student_env env = {.data = ds, .layout = "nhwc"};
    sqz_lossless found;
    uint64_t weights, macs, less, fewer;
    size_t n;
    TEST_OK(ctx, sqz_graph_set_batch(g, 1));
    TEST_OK(ctx, sqz_prune_lossless(g, &env, 0, &found, &h));
    sizes(g, &weights, &macs);
    sizes(h, &less, &fewer);
    printf("           %llu weights to %llu, %llu MAC to %llu\n", (unsigned long long)weights,
           (unsigned long long)less, (unsigned long long)macs, (unsigned long long)fewer);
    assert_true(less <= 38.9 * 1024 && fewer <= 4670000); /* what a vendor's tool reaches */
    float *want = answers(g, ds, &n), *got = answers(h, ds, &n);
    for (size_t i = 0; i < n; i++)
        TEST_NEAR((double)got[i], (double)want[i], 1e-5);
    free(want);
    free(got);
    sqz_data_close(ds);
    sqz_graph_free(g);
    sqz_graph_free(h);
    sqz_ctx_free(ctx);
}

int main(void)
{
    static struct CMUnitTest test[128];
    static claim claims[128];
    size_t n = 1;
    test[0] = (struct CMUnitTest)cmocka_unit_test(test_dead_channels_of_the_person_detector);
    for (size_t i = 0; i < SQZ_COUNT(folders); i++) {
        DIR *d = opendir(folders[i]);
        for (struct dirent *e; d && (e = readdir(d)) && n < SQZ_COUNT(test);) {
            struct stat st;
            const char *dot = strrchr(e->d_name, '.');
            snprintf(claims[n].path, sizeof claims[n].path, "%s/%s", folders[i], e->d_name);
            if (!dot || (strcmp(dot, ".onnx") && strcmp(dot, ".h5")) ||
                stat(claims[n].path, &st) != 0 || st.st_size > MOST)
                continue;
            test[n] = (struct CMUnitTest){
                .name = claims[n].path, .test_func = test_cut, .initial_state = &claims[n]};
            n++;
        }
        if (d)
            closedir(d);
    }
    return n > 1 ? _cmocka_run_group_tests("prune_models", test, n, NULL, NULL) : 77;
}
