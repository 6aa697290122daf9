/* prepare_transform.c: one sample from its source to its place in the set: channels, resize, crop,
 * layout; then scale, mean and std, which a set of bytes keeps as attributes instead. */
#include "io/prepare.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Rows, columns, channels of a sample as it comes. */
typedef struct extent {
    size_t h, w, c;
    bool channel_first;
} extent;

static bool wants_image(const sqz_prepare_spec *p)
{
    return p->layout != SQZ_LAYOUT_UNKNOWN || p->transform.height || p->transform.crop_height ||
           p->transform.channels;
}

/* Which axis of an array holds channels: said by the spec, else the end with 1, 3 or 4 entries. */
static sqz_status array_extent(sqz_ctx *ctx, const sqz_source *src, extent *out)
{
    const int64_t *d = src->shape.dim;
    sqz_layout l = src->spec->layout;
    char shape[160];
    sqz_shape_print(shape, &src->shape);
    if (src->shape.rank == 2) {
        *out = (extent){(size_t)d[0], (size_t)d[1], 1, false};
        return SQZ_OK;
    }
    if (src->shape.rank != 3)
        return sqz_fail(ctx, SQZ_E_SHAPE,
                        "%s: samples are %s: layout, resize, crop and channels are for images "
                        "(height x width, or with channels)",
                        src->spec->file, shape);
    bool first = d[0] == 1 || d[0] == 3 || d[0] == 4, last = d[2] == 1 || d[2] == 3 || d[2] == 4;
    if (l == SQZ_LAYOUT_UNKNOWN && first == last)
        return sqz_fail(ctx, SQZ_E_SHAPE,
                        "%s: samples are %s: say with layout: nchw or nhwc in the source where the "
                        "channels are",
                        src->spec->file, shape);
    out->channel_first = l == SQZ_LAYOUT_UNKNOWN ? first : l == SQZ_LAYOUT_NCHW;
    *out = out->channel_first ? (extent){(size_t)d[1], (size_t)d[2], (size_t)d[0], true}
                              : (extent){(size_t)d[0], (size_t)d[1], (size_t)d[2], false};
    return SQZ_OK;
}

static sqz_status channels_after(sqz_ctx *ctx, const sqz_source *src, const sqz_transform *t,
                                 size_t *c)
{
    if (!t->channels || (size_t)t->channels == *c)
        return SQZ_OK;
    if (!(*c == 1 || *c == 3))
        return sqz_fail(ctx, SQZ_E_SHAPE,
                        "%s: %zu channels cannot become %d: expected 1 (gray) or 3 (red, green, "
                        "blue)",
                        src->spec->file, *c, t->channels);
    *c = (size_t)t->channels;
    return SQZ_OK;
}

/* Size after resize, of a sample of h x w. */
static sqz_status resized(sqz_ctx *ctx, const sqz_transform *t, const char *what, size_t h,
                          size_t w, size_t *out_h, size_t *out_w)
{
    *out_h = t->height ? (size_t)t->height : h;
    *out_w = t->height ? (size_t)t->width : w;
    if (t->height && !t->width) { /* the shorter side becomes `height` */
        double f = (double)t->height / (double)SQZ_MIN(h, w);
        *out_h = h <= w ? (size_t)t->height : (size_t)round((double)h * f);
        *out_w = w <= h ? (size_t)t->height : (size_t)round((double)w * f);
    }
    if (*out_h > SQZ_IMAGE_PIXELS / *out_w)
        return sqz_fail(ctx, SQZ_E_LIMIT, "%s: resized to %zu x %zu it has too many pixels", what,
                        *out_h, *out_w);
    return SQZ_OK;
}

static sqz_status after_crop(sqz_ctx *ctx, const sqz_transform *t, const char *what, size_t *h,
                             size_t *w)
{
    if (!t->crop_height)
        return SQZ_OK;
    if ((size_t)t->crop_height > *h || (size_t)t->crop_width > *w)
        return sqz_fail(ctx, SQZ_E_SHAPE,
                        "%s: %zu x %zu is smaller than the crop of %" PRId64 " x %" PRId64
                        "; resize it",
                        what, *h, *w, t->crop_height, t->crop_width);
    *h = (size_t)t->crop_height;
    *w = (size_t)t->crop_width;
    return SQZ_OK;
}

static sqz_status plan_image(sqz_shaper *s, const sqz_source *src)
{
    extent e;
    if (src->is_image)
        e = (extent){(size_t)src->shape.dim[0], (size_t)src->shape.dim[1],
                     (size_t)src->shape.dim[2], false};
    else
        SQZ_TRY(array_extent(s->ctx, src, &e));
    const sqz_transform *t = &s->spec->transform;
    s->image_like = true;
    s->c = e.c;
    SQZ_TRY(channels_after(s->ctx, src, t, &s->c));
    SQZ_TRY(resized(s->ctx, t, src->spec->file, e.h, e.w, &s->h, &s->w));
    SQZ_TRY(after_crop(s->ctx, t, src->spec->file, &s->h, &s->w));
    int64_t h = (int64_t)s->h, w = (int64_t)s->w, c = (int64_t)s->c;
    bool first = s->spec->layout != SQZ_LAYOUT_NHWC; /* images without a word: as ONNX has them */
    s->shape = sqz_shape_of(3, first ? (int64_t[]){c, h, w} : (int64_t[]){h, w, c});
    s->channel_axis = first ? 0 : 2;
    return SQZ_OK;
}

static sqz_status check_stats(sqz_shaper *s, const sqz_source *src)
{
    const sqz_transform *t = &s->spec->transform;
    size_t most = SQZ_MAX(t->n_mean, t->n_std);
    if (!s->image_like)
        s->channel_axis = most > 1 && s->shape.rank == 1 ? 0 : -1;
    s->channels = s->channel_axis < 0 ? 1 : (size_t)s->shape.dim[s->channel_axis];
    s->inner = 1;
    for (int i = s->channel_axis + 1; s->channel_axis >= 0 && i < s->shape.rank; i++)
        s->inner *= (size_t)s->shape.dim[i];
    const size_t n[2] = {t->n_mean, t->n_std};
    for (int i = 0; i < 2; i++)
        if (n[i] > 1 && n[i] != s->channels)
            return sqz_fail(s->ctx, SQZ_E_FORMAT, "%s: %s has %zu numbers, expected 1 or %zu of %s",
                            s->spec->doc.file, i ? "std" : "mean", n[i], s->channels,
                            src->spec->file);
    return SQZ_OK;
}

sqz_status sqz_shaper_open(sqz_ctx *ctx, const sqz_prepare_spec *spec, const sqz_source *src,
                           sqz_shaper *out)
{
    size_t bytes;
    *out = (sqz_shaper){.ctx = ctx, .spec = spec, .shape = src->shape, .bytes = src->bytes};
    if (src->is_image || wants_image(spec))
        SQZ_TRY(plan_image(out, src));
    SQZ_TRY(check_stats(out, src));
    return sqz_shape_count(ctx, &out->shape, SQZ_F32, &out->elements, &bytes);
}

/* ---- applying: everything is rows, columns, channels in floats until the layout ---- */
static float *room(sqz_shaper *s, int which, size_t h, size_t w, size_t c)
{
    size_t n;
    sqz_free(s->ctx, s->work[which]);
    s->work[which] = NULL;
    if (!sqz_mul(h, w, &n) || !sqz_mul(n, c, &n))
        return NULL;
    return s->work[which] = sqz_calloc(s->ctx, n, sizeof(float));
}

static sqz_window window_of(const sqz_transform *t, size_t h, size_t w, size_t out_h, size_t out_w)
{
    sqz_window p = {0, 0, (double)h, (double)w};
    if (t->cover && t->width) { /* the largest part of the wanted shape, in the middle */
        double f = fmin((double)h / (double)out_h, (double)w / (double)out_w);
        p.height = f * (double)out_h;
        p.width = f * (double)out_w;
        p.y = ((double)h - p.height) / 2;
        p.x = ((double)w - p.width) / 2;
    }
    return p;
}

static void round_bytes(float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        v[i] = fminf(fmaxf(floorf(v[i] + 0.5f), 0), 255);
}

/* An array of samples to rows, columns, channels; gray and colour in floats. */
static sqz_status array_to_rows(sqz_shaper *s, const sqz_source *src, const float *x, extent *e,
                                float **out)
{
    SQZ_TRY(array_extent(s->ctx, src, e));
    size_t c = s->c, n = e->h * e->w;
    float *v = *out = room(s, 0, e->h, e->w, c);
    if (!v)
        return SQZ_E_NOMEM;
    for (size_t p = 0; p < n; p++) {
        float in[3] = {0};
        for (size_t k = 0; k < e->c; k++) {
            float one = e->channel_first ? x[k * n + p] : x[p * e->c + k];
            if (c == e->c)
                v[p * c + k] = one;
            else
                in[k] = one;
        }
        if (c == 1 && e->c == 3) {
            double y = (299.0 * (double)in[0] + 587.0 * (double)in[1] + 114.0 * (double)in[2]) /
                       1000.0;
            v[p] = s->bytes ? (float)floor(y + 0.5) : (float)y;
        } else if (c == 3 && e->c == 1) {
            v[p * 3] = v[p * 3 + 1] = v[p * 3 + 2] = in[0];
        }
    }
    e->c = c;
    return SQZ_OK;
}

static sqz_status image_to_rows(sqz_shaper *s, sqz_image *img, extent *e, float **out)
{
    SQZ_TRY(sqz_image_channels(s->ctx, img, s->c));
    *e = (extent){img->height, img->width, img->channels, false};
    if (s->spec->transform.height)
        return SQZ_OK; /* resized from bytes */
    *out = room(s, 0, e->h, e->w, e->c);
    if (!*out)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < e->h * e->w * e->c; i++)
        (*out)[i] = (float)img->pixel[i];
    return SQZ_OK;
}

static sqz_status resize(sqz_shaper *s, const sqz_image *img, extent *e, const char *what,
                         float **v)
{
    const sqz_transform *t = &s->spec->transform;
    size_t h, w;
    if (!t->height)
        return SQZ_OK;
    SQZ_TRY(resized(s->ctx, t, what, e->h, e->w, &h, &w));
    sqz_window part = window_of(t, e->h, e->w, h, w);
    float *out = room(s, 1, h, w, e->c);
    if (!out)
        return SQZ_E_NOMEM;
    if (*v)
        SQZ_TRY(sqz_resize_f32(s->ctx, *v, e->h, e->w, e->c, &part, t->antialias, h, w, out));
    else
        SQZ_TRY(sqz_resize_u8(s->ctx, img, &part, t->antialias, h, w, out));
    if (s->bytes)
        round_bytes(out, h * w * e->c);
    *v = out;
    e->h = h;
    e->w = w;
    return SQZ_OK;
}

/* Cuts the middle out and puts the numbers in their layout. */
static void place(const sqz_shaper *s, const float *v, const extent *e, float *out)
{
    size_t y0 = (e->h - s->h) / 2, x0 = (e->w - s->w) / 2, c = s->c;
    bool first = s->channel_axis == 0;
    for (size_t y = 0; y < s->h; y++)
        for (size_t x = 0; x < s->w; x++)
            for (size_t k = 0; k < c; k++) {
                size_t from = s->spec->transform.bgr && c == 3 ? 2 - k : k;
                float one = v[((y0 + y) * e->w + x0 + x) * c + from];
                out[first ? (k * s->h + y) * s->w + x : (y * s->w + x) * c + k] = one;
            }
}

static sqz_status apply(sqz_shaper *s, const sqz_source *src, sqz_image *img, const float *x,
                        const char *what, float *out)
{
    extent e, cut;
    float *v = NULL;
    if (!s->image_like) {
        memcpy(out, x, s->elements * sizeof *out);
        return SQZ_OK;
    }
    if (src->is_image)
        SQZ_TRY(image_to_rows(s, img, &e, &v));
    else
        SQZ_TRY(array_to_rows(s, src, x, &e, &v));
    SQZ_TRY(resize(s, img, &e, what, &v));
    cut = e;
    SQZ_TRY(after_crop(s->ctx, &s->spec->transform, what, &cut.h, &cut.w));
    if (cut.h != s->h || cut.w != s->w)
        return sqz_fail(
            s->ctx, SQZ_E_SHAPE,
            "%s: %zu x %zu pixels, the first image gives %zu x %zu; say resize and crop", what,
            cut.h, cut.w, s->h, s->w);
    place(s, v, &e, out);
    return SQZ_OK;
}

sqz_status sqz_shaper_apply(sqz_shaper *s, const sqz_source *src, sqz_image *img, const float *x,
                            const char *what, float *out)
{
    sqz_status st = apply(s, src, img, x, what, out);
    if (src->is_image)
        sqz_image_free(s->ctx, img);
    return st;
}

void sqz_shaper_scale(const sqz_shaper *s, const float *in, float *out)
{
    const sqz_transform *t = &s->spec->transform;
    for (size_t i = 0, run = 0; i < s->elements; run++) {
        size_t c = run % s->channels;
        double mean = t->n_mean ? t->mean[t->n_mean > 1 ? c : 0] : 0;
        double std = t->n_std ? t->stddev[t->n_std > 1 ? c : 0] : 1;
        size_t end = s->channel_axis < 0 ? s->elements : i + s->inner;
        for (; i < end; i++)
            out[i] = (float)(((double)in[i] / t->divide - mean) / std);
    }
}

void sqz_shaper_close(sqz_shaper *s)
{
    sqz_free(s->ctx, s->work[0]);
    sqz_free(s->ctx, s->work[1]);
    s->work[0] = s->work[1] = NULL;
}
