/* fuzz_image.c: any bytes as a JPEG or PNG image of at most 2^16 pixels, then reduced to gray and
 * resized. */
#include "io/image.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    sqz_ctx *ctx;
    sqz_image img;
    float out[5 * 3];
    sqz_ctx_options one = SQZ_CTX_OPTIONS_INIT;
    one.threads = 1;
    if (sqz_ctx_create(&one, &ctx) != SQZ_OK)
        abort();
    if (sqz_image_decode(ctx, "fuzz", data, n, 1 << 16, &img) == SQZ_OK) {
        sqz_window all = {0, 0, (double)img.height, (double)img.width};
        if (sqz_image_channels(ctx, &img, 1) == SQZ_OK)
            (void)sqz_resize_u8(ctx, &img, &all, true, 5, 3, out);
        sqz_image_free(ctx, &img);
    }
    sqz_ctx_free(ctx);
    return 0;
}
