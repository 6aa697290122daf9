/* image_jpeg.c: JPEG through libjpeg-turbo. Its errors come back by longjmp, which stays in here.
 */
#include "io/image.h"
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
/* libjpeg's headers need stdio.h first */
#include <jerror.h>
#include <jpeglib.h>

#define SQZ_JPEG_SCANS 100 /* of a progressive image: more are made to waste time */

typedef struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
    char text[JMSG_LENGTH_MAX];
    sqz_ctx *ctx;
    const char *name;
    size_t max_pixels;
    sqz_image *out;
    unsigned char *row; /* of CMYK, before conversion */
    sqz_status status;
} decoder;

static void on_error(j_common_ptr jpeg)
{
    decoder *d = jpeg->client_data;
    jpeg->err->format_message(jpeg, d->text);
    longjmp(d->back, 1);
}

/* libjpeg fills up what is missing with gray and goes on with a warning. We do not train on gray.
 */
static void on_message(j_common_ptr jpeg, int level)
{
    int code = jpeg->err->msg_code;
    if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER ||
                      code == JWRN_HUFF_BAD_CODE || code == JWRN_MUST_RESYNC))
        on_error(jpeg);
}

static void on_progress(j_common_ptr jpeg)
{
    decoder *d = jpeg->client_data;
    if (d->jpeg.input_scan_number > SQZ_JPEG_SCANS) {
        (void)snprintf(d->text, sizeof d->text, "more than %d scans", SQZ_JPEG_SCANS);
        longjmp(d->back, 1);
    }
}

/* Adobe stores CMYK inverted: 255 is no ink. */
static void from_cmyk(const unsigned char *in, size_t n, bool inverted, unsigned char *out)
{
    for (size_t i = 0; i < n; i++, in += 4, out += 3)
        for (int c = 0; c < 3; c++) {
            unsigned ink = inverted ? in[c] : 255u - in[c], key = inverted ? in[3] : 255u - in[3];
            out[c] = (unsigned char)((ink * key + 127) / 255);
        }
}

static sqz_status decode(decoder *d, const unsigned char *bytes, size_t n)
{
    struct jpeg_decompress_struct *j = &d->jpeg;
    jpeg_mem_src(j, bytes, (unsigned long)n);
    (void)jpeg_read_header(j, TRUE);
    bool cmyk = j->num_components == 4;
    j->out_color_space = cmyk ? JCS_CMYK : j->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    j->dct_method = JDCT_ISLOW; /* the exact one: the same pixels on every machine */
    SQZ_TRY(sqz_image_alloc(d->ctx, d->name, j->image_width, j->image_height,
                            j->num_components == 1 ? 1 : 3, d->max_pixels, d->out));
    if (cmyk && !(d->row = sqz_calloc(d->ctx, j->image_width, 4)))
        return SQZ_E_NOMEM;
    (void)jpeg_start_decompress(j);
    size_t stride = d->out->width * d->out->channels;
    while (j->output_scanline < j->output_height) {
        unsigned char *to = d->out->pixel + j->output_scanline * stride;
        unsigned char *row = cmyk ? d->row : to;
        (void)jpeg_read_scanlines(j, &row, 1);
        if (cmyk)
            from_cmyk(row, d->out->width, j->saw_Adobe_marker, to);
    }
    (void)jpeg_finish_decompress(j);
    return SQZ_OK;
}

sqz_status sqz_image_jpeg(sqz_ctx *ctx, const char *name, const unsigned char *bytes, size_t n,
                          size_t max_pixels, sqz_image *out)
{
    decoder *d = sqz_calloc(ctx, 1, sizeof *d); /* not on the stack: longjmp would spoil it */
    if (!d)
        return SQZ_E_NOMEM;
    d->ctx = ctx;
    d->name = name;
    d->max_pixels = max_pixels;
    d->out = out;
    d->jpeg.err = jpeg_std_error(&d->errors);
    d->jpeg.client_data = d;
    d->errors.error_exit = on_error;
    d->errors.emit_message = on_message;
    d->progress.progress_monitor = on_progress;
    if (setjmp(d->back) == 0) {
        jpeg_create_decompress(&d->jpeg);
        d->jpeg.progress = &d->progress;
        d->status = decode(d, bytes, n);
    } else {
        d->status = sqz_fail(ctx, SQZ_E_FORMAT, "%s: broken JPEG image: %s", name, d->text);
    }
    jpeg_destroy_decompress(&d->jpeg);
    sqz_status s = d->status;
    sqz_free(ctx, d->row);
    sqz_free(ctx, d);
    return s;
}
