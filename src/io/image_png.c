/* image_png.c: PNG through libpng. Its errors come back by longjmp, which stays in here. */
#include "io/image.h"
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

typedef struct decoder {
    png_structp png;
    png_infop info;
    jmp_buf back;
    char text[128];
    sqz_ctx *ctx;
    const unsigned char *bytes;
    size_t n, at;
    unsigned char **row;
    sqz_status status;
} decoder;

static PNG_NORETURN void on_error(png_structp png, png_const_charp text)
{
    decoder *d = png_get_error_ptr(png);
    (void)snprintf(d->text, sizeof d->text, "%s", text);
    longjmp(d->back, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep out, size_t n)
{
    decoder *d = png_get_io_ptr(png);
    if (n > d->n - d->at)
        png_error(png, "truncated");
    memcpy(out, d->bytes + d->at, n);
    d->at += n;
}

/* 8 bits, gray or RGB, no alpha. */
static void choose_output(png_structp png, png_infop info)
{
    png_byte type = png_get_color_type(png, info);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (type == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, info) < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    if (png_get_bit_depth(png, info) == 16)
        png_set_scale_16(png);
    if (type & PNG_COLOR_MASK_ALPHA)
        png_set_strip_alpha(png);
    (void)png_set_interlace_handling(png);
    png_read_update_info(png, info);
}

static sqz_status decode(decoder *d, const char *name, size_t max_pixels, sqz_image *out)
{
    png_set_read_fn(d->png, d, on_read);
    png_set_user_limits(d->png, 0x7fffffff, 0x7fffffff); /* ours is checked below, by area */
    png_set_chunk_malloc_max(d->png, 8u << 20);
    png_set_keep_unknown_chunks(d->png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_crc_action(d->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_read_info(d->png, d->info);
    choose_output(d->png, d->info);
    size_t channels = png_get_channels(d->png, d->info);
    SQZ_TRY(sqz_image_alloc(d->ctx, name, png_get_image_width(d->png, d->info),
                            png_get_image_height(d->png, d->info), channels == 1 ? 1 : 3,
                            max_pixels, out));
    size_t stride = out->width * out->channels;
    if (png_get_rowbytes(d->png, d->info) != stride)
        return sqz_fail(d->ctx, SQZ_E_INTERNAL, "%s: libpng makes rows of %zu bytes, not %zu", name,
                        (size_t)png_get_rowbytes(d->png, d->info), stride);
    d->row = sqz_calloc(d->ctx, out->height, sizeof *d->row);
    if (!d->row)
        return SQZ_E_NOMEM;
    for (size_t y = 0; y < out->height; y++)
        d->row[y] = out->pixel + y * stride;
    png_read_image(d->png, d->row);
    png_read_end(d->png, NULL);
    return SQZ_OK;
}

sqz_status sqz_image_png(sqz_ctx *ctx, const char *name, const unsigned char *bytes, size_t n,
                         size_t max_pixels, sqz_image *out)
{
    decoder *d = sqz_calloc(ctx, 1, sizeof *d); /* not on the stack: longjmp would spoil it */
    if (!d)
        return SQZ_E_NOMEM;
    d->ctx = ctx;
    d->bytes = bytes;
    d->n = n;
    if (setjmp(d->back) == 0) {
        d->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, d, on_error, on_warning);
        d->info = d->png ? png_create_info_struct(d->png) : NULL;
        d->status = d->info ? decode(d, name, max_pixels, out)
                            : sqz_fail(ctx, SQZ_E_NOMEM, "%s: no memory for libpng", name);
    } else {
        d->status = sqz_fail(ctx, SQZ_E_FORMAT, "%s: broken PNG image: %s", name, d->text);
    }
    png_destroy_read_struct(&d->png, &d->info, NULL);
    sqz_status s = d->status;
    sqz_free(ctx, d->row);
    sqz_free(ctx, d);
    return s;
}
