/* patches.c: the terms that the rows of a site are multiplied with, gathered from its input. */
#include "quant/feed.h"
#include <string.h>

size_t sqz_patches(const sqz_flow *f, const sqz_site *s)
{
    const size_t count = sqz_flow_count(f, SQZ_FLOAT_SIDE, s->x);
    if (!s->window_op)
        return count / s->cols;
    const size_t image = sqz_volume(s->window.in) * s->c_in;
    return image ? count / image * sqz_volume(s->window.out) : 0;
}

/* Input index of tap t for output o along one axis, or -1 in the padding. */
static int64_t input_at(const sqz_site *s, int a, int64_t o, int64_t t)
{
    const sqz_window *w = &s->window;
    int64_t i = s->transposed ? o + w->begin[a] - t * w->dil[a] : sqz_window_input(w, a, o, t);
    if (i < 0 || (s->transposed && i % w->stride[a]))
        return -1;
    i = s->transposed ? i / w->stride[a] : i;
    return i < w->in[a] ? i : -1;
}

static void gather_one(const sqz_site *s, const float *x, size_t g, size_t p, float *out)
{
    const sqz_window *w = &s->window;
    const int64_t ow = w->out[SQZ_AXIS_W], oh = w->out[SQZ_AXIS_H], od = w->out[SQZ_AXIS_D];
    const int64_t px = (int64_t)(p % (size_t)ow), row = (int64_t)(p / (size_t)ow);
    const int64_t py = row % oh, pz = row / oh % od;
    const size_t image = sqz_volume(w->in) * s->c_in;
    const float *base = x + p / sqz_volume(w->out) * image + g * s->depth;
    for (int64_t tz = 0; tz < w->k[SQZ_AXIS_D]; tz++)
        for (int64_t ty = 0; ty < w->k[SQZ_AXIS_H]; ty++) {
            const int64_t z = input_at(s, SQZ_AXIS_D, pz, tz), y = input_at(s, SQZ_AXIS_H, py, ty);
            const int64_t line = z < 0 || y < 0 ? -1 : z * w->in[SQZ_AXIS_H] + y;
            for (int64_t tx = 0; tx < w->k[SQZ_AXIS_W]; tx++, out += s->depth) {
                const int64_t at = line < 0 ? -1 : input_at(s, SQZ_AXIS_W, px, tx);
                if (at < 0)
                    memset(out, 0, s->depth * sizeof *out);
                else
                    memcpy(out, base + (size_t)(line * w->in[SQZ_AXIS_W] + at) * s->c_in,
                           s->depth * sizeof *out);
            }
        }
}

void sqz_patches_gather(const sqz_site *s, const float *x, size_t g, const size_t *at, size_t n,
                        float *out)
{
    for (size_t i = 0; i < n; i++, out += s->cols)
        if (s->window_op)
            gather_one(s, x, g, at[i], out);
        else
            memcpy(out, x + at[i] * s->cols, s->cols * sizeof *out);
}
