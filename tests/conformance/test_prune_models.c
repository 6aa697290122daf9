/* Published networks (../shared/data) cut at random: the graph without the channels runs, keeps its
 * names, and computes for every value what the whole graph computes with zeros in their place.
 * Skipped (77) where that folder is not there. */
#include "io/import.h"
#include "ir/pass.h"
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

int main(void)
{
    static struct CMUnitTest test[128];
    static claim claims[128];
    size_t n = 0;
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
    return n ? _cmocka_run_group_tests("prune_models", test, n, NULL, NULL) : 77;
}
