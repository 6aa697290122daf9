/* fuzz_onnx.c: any bytes as an ONNX model: import answers; a graph that it makes is valid, and so
 * is the file that export makes of it; its constants fold; when it is small, it runs. */
#include "fuzz_run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sqz_ctx *ctx = fuzz_ctx();
    sqz_graph *g = NULL;
    sqz_str lines = {.ctx = ctx};
    if (sqz_import_bytes(ctx, data, size, NULL, &g) == SQZ_OK) {
        fuzz_must(ctx, sqz_graph_verify(g), "verify");
        fuzz_export(g, true);
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
