/* fuzz_graph.c: any text as a graph. One that is read is valid and prints to text that reads back
 * to the same; what it is exported to is read again; its constants fold; when it is small, it runs.
 */
#include "fuzz_run.h"
#include <string.h>

static void print_again(sqz_ctx *ctx, const sqz_graph *g)
{
    sqz_str one = {.ctx = ctx}, two = {.ctx = ctx};
    sqz_graph *back = NULL;
    sqz_status s = sqz_graph_print(g, SIZE_MAX, &one);
    fuzz_must(ctx, s, "print");
    if (s == SQZ_OK)
        fuzz_must(ctx, s = sqz_graph_parse(ctx, one.data, &back), "read back");
    if (s == SQZ_OK)
        fuzz_must(ctx, s = sqz_graph_print(back, SIZE_MAX, &two), "print again");
    if (s == SQZ_OK && strcmp(one.data, two.data) != 0)
        abort();
    sqz_graph_free(back);
    sqz_str_free(&one);
    sqz_str_free(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sqz_ctx *ctx = fuzz_ctx();
    sqz_graph *g = NULL;
    char *text = malloc(size + 1);
    if (!text)
        abort();
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    if (fuzz_may(ctx, sqz_graph_parse(ctx, text, &g), "text")) {
        fuzz_must(ctx, sqz_graph_verify(g), "verify");
        print_again(ctx, g);
        fuzz_export(g, false);
        fuzz_run(g);
    }
    free(text);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
    return 0;
}
