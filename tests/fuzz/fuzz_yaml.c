/* fuzz_yaml.c: any bytes as a device file, with an estimate for what it accepts, as the spec of a
 * data set, and as a recipe. */
#include "device/device.h"
#include "fuzz.h"
#include "io/prepare.h"
#include "quant/recipe.h"
#include <math.h>
#include <string.h>

static const char net[] = "input x f32 1x4\n"
                          "const w f32 4x4 = 1 2 3 4 5 6 7 8 9 8 7 6 5 4 3 2\n"
                          "y = matmul(x, w)\n"
                          "z = relu(y)\n"
                          "output z\n";

/* Figures of a device that was accepted are numbers. */
static void estimate(sqz_ctx *ctx, const sqz_device *d)
{
    sqz_graph *g = NULL;
    sqz_estimate *e = NULL;
    sqz_limit_result row[8];
    unsigned n;
    fuzz_must(ctx, sqz_graph_parse(ctx, net, &g), "graph");
    if (fuzz_may(ctx, sqz_estimate_graph(g, d, &e), "estimate")) {
        if (!(e->flash >= 0 && e->ram >= 0 && e->latency >= 0))
            abort();
        sqz_limits_check(d, e, 0.5, 0.75, row, &n);
        if (n > SQZ_COUNT(row))
            abort();
        sqz_estimate_free(ctx, e);
    }
    sqz_graph_free(g);
}

/* A recipe that was accepted is text that is accepted, and stays the same. */
static void recipe(sqz_arena *a, const uint8_t *data, size_t size)
{
    sqz_recipe r, again;
    if (!fuzz_may(a->ctx, sqz_recipe_from_yaml(a, "recipe", (const char *)data, size, &r),
                  "recipe"))
        return;
    const char *text = sqz_recipe_text(a, &r);
    sqz_status st = text ? sqz_recipe_from_text(a, text, &again) : SQZ_E_NOMEM;
    fuzz_must(a->ctx, st, "the text of a recipe");
    const char *same = st == SQZ_OK ? sqz_recipe_text(a, &again) : NULL;
    if (same && strcmp(text, same) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32];
    sqz_ctx *ctx = fuzz_ctx_strict(size, 256); /* a tree of short words */
    sqz_arena a = {.ctx = ctx};
    sqz_device *d;
    sqz_prepare_spec spec;
    int fd = fuzz_file(data, size, path);
    if (fuzz_may(ctx, sqz_device_load(ctx, path, &d), "device")) {
        estimate(ctx, d);
        sqz_device_free(ctx, d);
    }
    (void)fuzz_may(ctx, sqz_prepare_parse(&a, path, &spec), "spec");
    recipe(&a, data, size);
    (void)close(fd);
    sqz_arena_free(&a);
    sqz_ctx_free(ctx);
    return 0;
}
