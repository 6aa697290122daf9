/* fuzz_json.c: any bytes as ranges.json, which must print to something that reads back to the same,
 * and as the report of an earlier check. */
#include "api/work.h"
#include "fuzz.h"
#include <string.h>

static void print_again(sqz_ctx *ctx, const sqz_ranges *r)
{
    sqz_str one = {.ctx = ctx}, two = {.ctx = ctx};
    sqz_ranges *back = NULL;
    fuzz_must(ctx, sqz_ranges_print(r, &one), "print");
    fuzz_must(ctx, sqz_ranges_parse(ctx, "printed", one.data, one.len, &back), "read back");
    fuzz_must(ctx, sqz_ranges_print(back, &two), "print again");
    if (strcmp(one.data, two.data) != 0)
        abort();
    sqz_ranges_free(ctx, back);
    sqz_str_free(&one);
    sqz_str_free(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sqz_ctx *ctx = fuzz_ctx_strict(size, 64);
    sqz_ranges *r;
    sqz_baseline b;
    if (fuzz_may(ctx, sqz_ranges_parse(ctx, "fuzz", (const char *)data, size, &r), "ranges")) {
        print_again(ctx, r);
        sqz_ranges_free(ctx, r);
    }
    (void)fuzz_may(ctx, sqz_baseline_parse(ctx, "fuzz", (const char *)data, size, &b), "baseline");
    sqz_ctx_free(ctx);
    return 0;
}
