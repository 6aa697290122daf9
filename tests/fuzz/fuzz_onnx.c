/* fuzz_onnx.c: any bytes as an ONNX model: import answers; a graph that it makes is valid, and so
 * is the file that export makes of it; its constants fold; when it is small, it runs. */
#include "fuzz_run.h"
#include "io/import.h"

static void again(sqz_ctx *ctx, const sqz_graph *g)
{
    void *bytes;
    size_t n;
    sqz_graph *back = NULL;
    sqz_status s = sqz_export_onnx(g, &bytes, &n);
    if (s == SQZ_E_UNSUPPORTED) /* grids that ONNX cannot spell */
        return;
    fuzz_must(ctx, s, "export");
    if (s != SQZ_OK)
        return;
    fuzz_must(ctx, sqz_import_bytes(ctx, bytes, n, NULL, &back), "import of what was exported");
    sqz_graph_free(back);
    sqz_free(ctx, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sqz_ctx *ctx = fuzz_ctx();
    sqz_graph *g = NULL;
    sqz_str lines = {.ctx = ctx};
    if (sqz_import_bytes(ctx, data, size, NULL, &g) == SQZ_OK) {
        fuzz_must(ctx, sqz_graph_verify(g), "verify");
        again(ctx, g);
        fuzz_run(g);
    } else if (!*sqz_last_error(ctx) || g) {
        abort();
    }
    sqz_graph_free(g);
    (void)sqz_onnx_unsupported(ctx, data, size, &lines);
    sqz_str_free(&lines);
    sqz_ctx_free(ctx);
    return 0;
}
