/* image.h: JPEG and PNG files as 8-bit pixels, and resizing. */
#ifndef SQZ_IMAGE_H
#define SQZ_IMAGE_H
#include "base/base.h"

#define SQZ_IMAGE_PIXELS ((size_t)1 << 26) /* 64 million: larger images are refused */
#define SQZ_IMAGE_FILE   ((size_t)256 << 20)

/* H x W x C bytes, channels last; C is 1 (gray) or 3 (red, green, blue). */
typedef struct sqz_image {
    size_t height, width, channels;
    unsigned char *pixel; /* sqz_free */
} sqz_image;

/* JPEG: gray, YCbCr and RGB; CMYK and YCCK are converted without a colour profile. PNG: every type;
 * 16 bits are scaled to 8, palettes looked up, alpha dropped (not composited). The orientation tag
 * of cameras is not applied. Damage that the decoder can see is an error, also where it could go
 * on. `name` is for messages. */
sqz_status sqz_image_decode(sqz_ctx *ctx, const char *name, const void *bytes, size_t n,
                            size_t max_pixels, sqz_image *out);
sqz_status sqz_image_load(sqz_ctx *ctx, const char *path, sqz_image *out);
void sqz_image_free(sqz_ctx *ctx, sqz_image *img);
/* To 3 channels (gray repeated) or 1 (ITU-R BT.601 luma, rounded), in place. */
sqz_status sqz_image_channels(sqz_ctx *ctx, sqz_image *img, size_t channels);

/* The decoders: img->pixel is the context's. */
sqz_status sqz_image_jpeg(sqz_ctx *ctx, const char *name, const unsigned char *bytes, size_t n,
                          size_t max_pixels, sqz_image *out);
sqz_status sqz_image_png(sqz_ctx *ctx, const char *name, const unsigned char *bytes, size_t n,
                         size_t max_pixels, sqz_image *out);
/* Fills height, width, channels and allocates, after the checks that every format needs. */
sqz_status sqz_image_alloc(sqz_ctx *ctx, const char *name, uint64_t width, uint64_t height,
                           size_t channels, size_t max_pixels, sqz_image *out);

/* Resizing by separable triangle filters (bilinear). Pixels are areas: the centre of output pixel o
 * lies at (o + 0.5) * in / out of the input; beyond the border the nearest pixel counts. With
 * `antialias` the triangle grows with the reduction, so that every input pixel counts; without, an
 * output pixel is made of its two (by two) nearest. */
/* The part of the input to use: first pixel and length along both axes, which need not be whole. */
typedef struct sqz_window {
    double y, x, height, width;
} sqz_window;
/* in (in_h, in_w, c) -> out (out_h, out_w, c), floats. */
sqz_status sqz_resize_f32(sqz_ctx *ctx, const float *in, size_t in_h, size_t in_w, size_t c,
                          const sqz_window *part, bool antialias, size_t out_h, size_t out_w,
                          float *out);
/* The same from bytes, with the result in floats, not yet rounded. */
sqz_status sqz_resize_u8(sqz_ctx *ctx, const sqz_image *in, const sqz_window *part, bool antialias,
                         size_t out_h, size_t out_w, float *out);
#endif
