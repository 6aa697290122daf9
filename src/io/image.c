/* image.c: which decoder, the limits that all share, gray and colour. */
#include "io/image.h"
#include <inttypes.h>
#include <string.h>

sqz_status sqz_image_alloc(sqz_ctx *ctx, const char *name, uint64_t width, uint64_t height,
                           size_t channels, size_t max_pixels, sqz_image *out)
{
    if (width == 0 || height == 0 || width > max_pixels || height > max_pixels / width)
        return sqz_fail(ctx, width && height ? SQZ_E_LIMIT : SQZ_E_FORMAT,
                        "%s: %" PRIu64 " x %" PRIu64 " pixels, expected 1 to %zu in all", name,
                        width, height, max_pixels);
    *out = (sqz_image){.height = height, .width = width, .channels = channels};
    out->pixel = sqz_calloc(ctx, (size_t)(width * height), channels);
    return out->pixel ? SQZ_OK : SQZ_E_NOMEM;
}

void sqz_image_free(sqz_ctx *ctx, sqz_image *img)
{
    sqz_free(ctx, img->pixel);
    *img = (sqz_image){0};
}

sqz_status sqz_image_decode(sqz_ctx *ctx, const char *name, const void *bytes, size_t n,
                            size_t max_pixels, sqz_image *out)
{
    const unsigned char *b = bytes;
    *out = (sqz_image){0};
    sqz_status s = n >= 3 && memcmp(b, "\xff\xd8\xff", 3) == 0
                       ? sqz_image_jpeg(ctx, name, b, n, max_pixels, out)
                   : n >= 8 && memcmp(b, "\x89PNG\r\n\x1a\n", 8) == 0
                       ? sqz_image_png(ctx, name, b, n, max_pixels, out)
                       : sqz_fail(ctx, SQZ_E_FORMAT, "%s: neither a JPEG nor a PNG image", name);
    if (s != SQZ_OK)
        sqz_image_free(ctx, out);
    return s;
}

sqz_status sqz_image_load(sqz_ctx *ctx, const char *path, sqz_image *out)
{
    void *bytes;
    size_t n;
    *out = (sqz_image){0};
    SQZ_TRY(sqz_file_read(ctx, path, SQZ_IMAGE_FILE, &bytes, &n));
    sqz_status s = sqz_image_decode(ctx, path, bytes, n, SQZ_IMAGE_PIXELS, out);
    sqz_free(ctx, bytes);
    return s;
}

/* Y = 0.299 R + 0.587 G + 0.114 B in thousandths, rounded half up. */
static unsigned char luma(const unsigned char *p)
{
    return (unsigned char)((299u * p[0] + 587u * p[1] + 114u * p[2] + 500u) / 1000u);
}

sqz_status sqz_image_channels(sqz_ctx *ctx, sqz_image *img, size_t channels)
{
    size_t n = img->height * img->width;
    if (img->channels == channels)
        return SQZ_OK;
    unsigned char *out = sqz_calloc(ctx, n, channels);
    if (!out)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        if (channels == 1)
            out[i] = luma(img->pixel + 3 * i);
        else
            memset(out + 3 * i, img->pixel[i], 3);
    }
    sqz_free(ctx, img->pixel);
    img->pixel = out;
    img->channels = channels;
    return SQZ_OK;
}
