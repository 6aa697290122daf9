/* pixels.c: see pixels.h. */
#include "ops/pixels.h"
#include <string.h>

/* Inputs under `out` outputs along one axis. */
static int64_t span(const sqz_window *w, int axis, int64_t out)
{
    return (out - 1) * w->stride[axis] + (w->k[axis] - 1) * w->dil[axis] + 1;
}

static size_t planes(const sqz_window *w) { return (size_t)w->k[SQZ_AXIS_D]; }

/* Addresses that a band needs: of lines that taps share, or of each tap where that is less. */
static bool count_pixels(const sqz_pixels *p, size_t band, bool *apart, size_t *n)
{
    size_t shared, own;
    bool fits = sqz_mul(p->tall, planes(p->w), &shared) && sqz_mul(shared, p->wide, &shared);
    *apart = sqz_mul(band, sqz_volume(p->w->k), &own) &&
             sqz_mul(own, (size_t)p->w->out[SQZ_AXIS_W], &own) && (!fits || own < shared);
    *n = *apart ? own : shared;
    return fits || *apart;
}

/* Where the parts of the scratch lie: lists of lines, addresses of pixels, copies of pixels. */
static bool lay_out(sqz_pixels *p, size_t band, size_t n_pixel, size_t *bytes)
{
    size_t n_list = p->tall, copy = 0;
    bool fits = !p->list || sqz_mul(band, p->lines, &n_list);
    fits = fits && sqz_mul(n_list, sizeof(void *), &p->pixel) &&
           sqz_mul(n_pixel, sizeof(void *), &p->copy) && sqz_add(p->pixel, p->copy, &p->copy) &&
           p->copy < SIZE_MAX - SQZ_ALIGN;
    p->copy = (p->copy + SQZ_ALIGN - 1) / SQZ_ALIGN * SQZ_ALIGN;
    if (p->repeat > 1)
        fits = fits && sqz_mul(n_pixel, p->channels * p->repeat * p->size, &copy);
    return fits && sqz_add(p->copy, copy, bytes);
}

sqz_status sqz_pixels_make(sqz_ctx *ctx, sqz_arena *arena, const sqz_window *w, size_t c_in,
                           size_t c_out, size_t size, size_t band, int fill, bool list,
                           sqz_pixels *p, size_t *scratch)
{
    const bool holes = w->dil[SQZ_AXIS_H] > 1 || w->dil[SQZ_AXIS_W] > 1 || planes(w) > 1;
    *p = (sqz_pixels){.w = w,
                      .channels = c_in,
                      .repeat = c_out / c_in,
                      .size = size,
                      .list = list || holes,
                      .lines = (size_t)w->k[SQZ_AXIS_H],
                      .taps = (size_t)w->k[SQZ_AXIS_W],
                      .wide = (size_t)span(w, SQZ_AXIS_W, w->out[SQZ_AXIS_W]),
                      .tall = (size_t)span(w, SQZ_AXIS_H, (int64_t)band)};
    size_t n_pixel;
    const bool fits = count_pixels(p, band, &p->apart, &n_pixel);
    p->list = p->list || p->apart;
    if (p->list) {
        p->lines = sqz_volume(w->k);
        p->taps = 1;
    }
    char *pixel = sqz_arena_alloc(arena, c_out, size);
    if (!pixel)
        return SQZ_E_NOMEM;
    memset(pixel, fill, c_out * size);
    p->fill = pixel;
    if (!fits || !lay_out(p, band, n_pixel, scratch))
        return sqz_fail(ctx, SQZ_E_LIMIT, "the workspace for the lists of pixels is too large");
    return SQZ_OK;
}

/* n pixels with every channel `repeat` times. */
static void repeat_channels(const sqz_pixels *p, const char *x, size_t n, char *out)
{
    for (size_t i = 0; i < n * p->channels; i++, x += p->size)
        for (size_t r = 0; r < p->repeat; r++, out += p->size)
            memcpy(out, x, p->size);
}

/* Addresses of the pixels of a line (NULL: all padding) with the padding beside it. `copy`: room
 * for as many pixels. */
static void list_line(const sqz_pixels *p, const char *x, const void **out, char *copy)
{
    const size_t bytes = p->channels * p->repeat * p->size;
    const size_t left = SQZ_MIN((size_t)p->w->begin[SQZ_AXIS_W], p->wide);
    const size_t inside = x ? SQZ_MIN((size_t)p->w->in[SQZ_AXIS_W], p->wide - left) : 0;
    size_t i = 0;
    if (inside && p->repeat > 1) {
        repeat_channels(p, x, inside, copy);
        x = copy;
    }
    for (; i < left; i++)
        out[i] = p->fill;
    for (; i < left + inside; i++, x += bytes)
        out[i] = x;
    for (; i < p->wide; i++)
        out[i] = p->fill;
}

/* Lists of the lines of plane d of the window under a band, from line `top` on. */
static void list_plane(const sqz_pixels *p, const char *image, int64_t z, int64_t top, size_t d,
                       size_t tall, char *scratch)
{
    const sqz_window *w = p->w;
    const size_t line = (size_t)w->in[SQZ_AXIS_W] * p->channels * p->size;
    const int64_t height = w->in[SQZ_AXIS_H], iz = sqz_window_input(w, SQZ_AXIS_D, z, (int64_t)d);
    const void **out = (const void **)(void *)(scratch + p->pixel) + d * p->tall * p->wide;
    for (size_t r = 0; r < tall; r++, out += p->wide) {
        const int64_t y = top + (int64_t)r;
        const bool inside = iz >= 0 && iz < w->in[SQZ_AXIS_D] && y >= 0 && y < height;
        const char *x = inside ? image + (size_t)(iz * height + y) * line : NULL;
        const size_t at = (d * p->tall + r) * p->wide * p->channels * p->repeat * p->size;
        list_line(p, x, out, p->repeat > 1 ? scratch + p->copy + at : NULL);
    }
}

/* Lists of all taps of the lines of a band, shared between taps. */
static void list_shared(const sqz_pixels *p, size_t band, const void *const *pixel,
                        const void *const **list)
{
    const sqz_window *w = p->w;
    for (size_t i = 0; i < band; i++)
        for (size_t d = 0; d < planes(w); d++)
            for (int64_t h = 0; h < w->k[SQZ_AXIS_H]; h++)
                for (int64_t v = 0; v < w->k[SQZ_AXIS_W]; v++) {
                    const size_t r = i * (size_t)w->stride[SQZ_AXIS_H] +
                                     (size_t)(h * w->dil[SQZ_AXIS_H]) + d * p->tall;
                    *list++ = pixel + r * p->wide + (size_t)(v * w->dil[SQZ_AXIS_W]);
                }
}

/* The pixels of one tap under a line of output, from input line `line` (NULL: padding). */
static void list_tap(const sqz_pixels *p, const char *line, int64_t v, const void **out, char *copy)
{
    const sqz_window *w = p->w;
    const size_t bytes = p->channels * p->size;
    for (int64_t o = 0; o < w->out[SQZ_AXIS_W]; o++) {
        const int64_t ix = sqz_window_input(w, SQZ_AXIS_W, o, v);
        const bool inside = line && ix >= 0 && ix < w->in[SQZ_AXIS_W];
        out[o] = inside ? line + (size_t)ix * bytes : p->fill;
        if (inside && p->repeat > 1) {
            char *at = copy + (size_t)o * bytes * p->repeat;
            repeat_channels(p, out[o], 1, at);
            out[o] = at;
        }
    }
}

/* The same, each with its own. */
static void list_apart(const sqz_pixels *p, const char *image, int64_t z, int64_t y0, int64_t y1,
                       char *scratch, const void *const **list)
{
    const sqz_window *w = p->w;
    const size_t pixel = p->channels * p->size, width = (size_t)w->out[SQZ_AXIS_W];
    const void **out = (const void **)(void *)(scratch + p->pixel);
    size_t n = 0; /* lists so far */
    for (int64_t y = y0; y < y1; y++)
        for (int64_t t = 0; t < w->k[SQZ_AXIS_D] * w->k[SQZ_AXIS_H]; t++) {
            const int64_t iz = sqz_window_input(w, SQZ_AXIS_D, z, t / w->k[SQZ_AXIS_H]);
            const int64_t iy = sqz_window_input(w, SQZ_AXIS_H, y, t % w->k[SQZ_AXIS_H]);
            const bool inside = iz >= 0 && iz < w->in[SQZ_AXIS_D] && iy >= 0 &&
                                iy < w->in[SQZ_AXIS_H];
            const size_t row = inside ? (size_t)(iz * w->in[SQZ_AXIS_H] + iy) : 0;
            const char *line = inside ? image + row * (size_t)w->in[SQZ_AXIS_W] * pixel : NULL;
            for (int64_t v = 0; v < w->k[SQZ_AXIS_W]; v++, n++) {
                const size_t at = n * width * pixel * p->repeat;
                list_tap(p, line, v, out + n * width,
                         p->repeat > 1 ? scratch + p->copy + at : NULL);
                list[n] = (const void *const *)(out + n * width);
            }
        }
}

sqz_windows sqz_pixels_at(const sqz_pixels *p, const void *x, size_t n, int64_t z, int64_t y0,
                          int64_t y1, char *scratch)
{
    const sqz_window *w = p->w;
    const char *image = (const char *)x + n * sqz_volume(w->in) * p->channels * p->size;
    const size_t band = (size_t)(y1 - y0);
    const void *const **list = (const void *const **)(void *)scratch;
    const void *const *pixel = (const void *const *)(void *)(scratch + p->pixel);
    sqz_windows out = {.x = list,
                       .lines = band,
                       .width = (size_t)w->out[SQZ_AXIS_W],
                       .line_step = p->list ? p->lines : (size_t)w->stride[SQZ_AXIS_H],
                       .step = p->apart ? 1 : (size_t)w->stride[SQZ_AXIS_W]};
    if (p->apart) {
        list_apart(p, image, z, y0, y1, scratch, list);
        return out;
    }
    const size_t tall = (size_t)span(w, SQZ_AXIS_H, y1 - y0);
    for (size_t d = 0; d < planes(w); d++)
        list_plane(p, image, z, sqz_window_input(w, SQZ_AXIS_H, y0, 0), d, tall, scratch);
    if (p->list)
        list_shared(p, band, pixel, list);
    for (size_t r = 0; !p->list && r < tall; r++)
        list[r] = pixel + r * p->wide;
    return out;
}
