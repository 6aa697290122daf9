/* band.c: see band.h. */
#include "ops/band.h"
#include <string.h>

/* Lines of input under `lines` lines of output, and pixels under a whole line of output. */
static int64_t span(const sqz_window *w, int axis, int64_t out)
{
    return (out - 1) * w->stride[axis] + (w->k[axis] - 1) * w->dil[axis] + 1;
}

static bool has_padding(const sqz_window *w)
{
    bool any = false;
    for (int a = 0; a < SQZ_WINDOW_AXES; a++)
        any = any || w->begin[a] || span(w, a, w->out[a]) > w->in[a];
    return any;
}

sqz_status sqz_band_make(sqz_ctx *ctx, const sqz_window *w, size_t pixel, int64_t lines, int fill,
                         uint8_t flip, bool slack, sqz_band *b, size_t *scratch)
{
    *b = (sqz_band){.w = w, .pixel = pixel, .fill = fill, .flip = flip};
    b->direct = !flip && !slack && !has_padding(w);
    *scratch = 0;
    b->line = (size_t)w->in[SQZ_AXIS_W] * pixel;
    b->plane = (size_t)(w->in[SQZ_AXIS_H] * w->dil[SQZ_AXIS_D]) * b->line;
    if (b->direct)
        return SQZ_OK;
    size_t tall = (size_t)span(w, SQZ_AXIS_H, lines), all;
    if (!sqz_mul((size_t)span(w, SQZ_AXIS_W, w->out[SQZ_AXIS_W]), pixel, &b->line) ||
        !sqz_mul(tall, b->line, &b->plane) || !sqz_mul((size_t)w->k[SQZ_AXIS_D], b->plane, &all) ||
        !sqz_add(all, SQZ_BAND_SLACK, scratch))
        return sqz_fail(ctx, SQZ_E_LIMIT, "the workspace for lines with padding is too large");
    return SQZ_OK;
}

void sqz_band_copy(void *out, const void *x, size_t n, uint8_t flip)
{
    unsigned char *to = out;
    const unsigned char *from = x;
    if (!flip)
        memcpy(to, from, n);
    else
        for (size_t i = 0; i < n; i++)
            to[i] = from[i] ^ flip;
}

/* One line of input (NULL: all padding) with the padding beside it. */
static void copy_line(const sqz_band *b, const char *x, char *out)
{
    const sqz_window *w = b->w;
    const int fill = (uint8_t)b->fill ^ b->flip;
    const size_t left = (size_t)w->begin[SQZ_AXIS_W] * b->pixel;
    const size_t have = (size_t)w->in[SQZ_AXIS_W] * b->pixel;
    if (!x || left >= b->line) {
        memset(out, fill, b->line);
        return;
    }
    const size_t n = SQZ_MIN(have, b->line - left);
    memset(out, fill, left);
    sqz_band_copy(out + left, x, n, b->flip);
    memset(out + left + n, fill, b->line - left - n);
}

const char *sqz_band_at(const sqz_band *b, const void *x, size_t n, int64_t z, int64_t y0,
                        int64_t y1, char *scratch)
{
    const sqz_window *w = b->w;
    const size_t line = (size_t)w->in[SQZ_AXIS_W] * b->pixel;
    const int64_t height = w->in[SQZ_AXIS_H];
    const int64_t top = sqz_window_input(w, SQZ_AXIS_H, y0, 0);
    const char *image = (const char *)x + n * sqz_volume(w->in) * b->pixel;
    if (b->direct)
        return image + (size_t)(sqz_window_input(w, SQZ_AXIS_D, z, 0) * height + top) * line;
    for (int64_t d = 0; d < w->k[SQZ_AXIS_D]; d++) {
        const int64_t iz = sqz_window_input(w, SQZ_AXIS_D, z, d);
        char *out = scratch + (size_t)d * b->plane;
        for (int64_t y = top; y < top + span(w, SQZ_AXIS_H, y1 - y0); y++, out += b->line) {
            bool inside = iz >= 0 && iz < w->in[SQZ_AXIS_D] && y >= 0 && y < height;
            copy_line(b, inside ? image + (size_t)(iz * height + y) * line : NULL, out);
        }
    }
    return scratch;
}

size_t sqz_band_segments(const sqz_band *b, bool whole, size_t *seg)
{
    const sqz_window *w = b->w;
    const int64_t taps = whole ? 1 : w->k[SQZ_AXIS_W];
    size_t n = 0;
    for (int64_t d = 0; d < w->k[SQZ_AXIS_D]; d++)
        for (int64_t h = 0; h < w->k[SQZ_AXIS_H]; h++)
            for (int64_t v = 0; v < taps; v++)
                seg[n++] = (size_t)d * b->plane + (size_t)(h * w->dil[SQZ_AXIS_H]) * b->line +
                           (size_t)(v * w->dil[SQZ_AXIS_W]) * b->pixel;
    return n;
}
