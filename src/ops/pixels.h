/* pixels.h: what some lines of output of a depthwise convolution read, as lists of pixel addresses
 * (sqz_windows). Padding is the address of one pixel of padding, so that nothing is copied and
 * kernels see no borders. With a channel multiplier, lines are copied with their channels repeated.
 */
#ifndef SQZ_PIXELS_H
#define SQZ_PIXELS_H
#include "kernels/kernels.h"
#include "ops/window.h"

typedef struct sqz_pixels {
    const sqz_window *w;
    size_t channels, repeat, size; /* of the input, how often each, bytes of one */
    bool list;                     /* the window is a list of taps, else lines of taps */
    bool apart;                    /* each tap has a list of its own: windows far from each other */
    size_t lines, taps;            /* of the window as kernels see it */
    size_t wide, tall;             /* pixels of a line with padding, lines under a whole band */
    size_t pixel, copy;            /* offsets in scratch, behind the lists of lines */
    const char *fill;              /* a pixel of padding */
} sqz_pixels;

/* For bands of at most `band` lines of output in one plane. c_out is a multiple of the input's
 * channels, of `size` bytes each. `list` asks for a list of taps; windows with holes or planes get
 * one anyway. *scratch: bytes that sqz_pixels_at needs. */
sqz_status sqz_pixels_make(sqz_ctx *ctx, sqz_arena *arena, const sqz_window *w, size_t c_in,
                           size_t c_out, size_t size, size_t band, int fill, bool list,
                           sqz_pixels *p, size_t *scratch);
/* The windows of outputs (z, y0 .. y1) of sample n. */
sqz_windows sqz_pixels_at(const sqz_pixels *p, const void *x, size_t n, int64_t z, int64_t y0,
                          int64_t y1, char *scratch);
#endif
