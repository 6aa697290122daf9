/* band.h: the lines of an image that some lines of output read, with their padding in place, so
 * that kernels read windows without looking at borders. Channel-last. Nothing is copied where there
 * is no padding and no flip. */
#ifndef SQZ_BAND_H
#define SQZ_BAND_H
#include "ops/window.h"

/* Bytes behind a band that may be read: kernels take 4 int8 at a time. */
#define SQZ_BAND_SLACK 64

typedef struct sqz_band {
    const sqz_window *w;
    size_t pixel;       /* bytes: all channels */
    size_t line, plane; /* bytes from line to line, and from one plane of taps to the next */
    bool direct;        /* reads the input where it lies */
    int fill;           /* byte in the padding, before the flip */
    uint8_t flip;       /* XORed with every byte */
} sqz_band;

/* For chunks of at most `lines` lines of output in one plane. slack: kernels read beyond a segment,
 * which only a copy allows. *scratch: bytes that sqz_band_at needs. */
sqz_status sqz_band_make(sqz_ctx *ctx, const sqz_window *w, size_t pixel, int64_t lines, int fill,
                         uint8_t flip, bool slack, sqz_band *b, size_t *scratch);
/* Where tap (0,0,0) of output (z, y0, 0) of sample n lies. Tap (d,h,v) of output (z, y, x), y0 <= y
 * < y1, is (y - y0) * stride * line + x * stride * pixel + d * plane + h * dil * line + v * dil *
 * pixel bytes behind it. */
const char *sqz_band_at(const sqz_band *b, const void *x, size_t n, int64_t z, int64_t y0,
                        int64_t y1, char *scratch);
/* Segments of a product (sqz_left): offsets of all taps, or, `whole`, of the kernel's lines, whose
 * taps lie side by side when nothing is dilated along W and the channels are one group. Returns how
 * many; seg has room for sqz_volume(w->k). */
size_t sqz_band_segments(const sqz_band *b, bool whole, size_t *seg);
/* n bytes, each XORed with flip; the blocks do not overlap. */
void sqz_band_copy(void *out, const void *x, size_t n, uint8_t flip);
#endif
