/* conv_s8.c: convolutions on integers, as products whose left side is the image itself: rows are
 * output pixels, segments the kernel's lines. The lines that a chunk reads are copied with their
 * padding (ops/band.h). A transposed convolution gathers the taps of its rows. */
#include "ops/band.h"
#include "ops/conv.h"
#include "ops/product_s8.h"
#include <string.h>

/* Bytes of a band: with the weights of two panels and the results it stays in the second-level
 * cache. */
#define BAND_BYTES (192 * 1024)

typedef enum form {
    FORM_BAND,   /* lines with padding */
    FORM_MATRIX, /* 1x1 without padding: each row is a pixel */
    FORM_GATHER  /* transposed */
} form;

typedef struct conv_s8 {
    sqz_conv v;
    sqz_s8_product p;
    sqz_band band;
    form form;
    size_t step, line; /* MATRIX: bytes from pixel to pixel, line to line */
} conv_s8;

/* ---- rows without a window ---- */

/* 1x1 without padding whose lines of pixels lie at one distance, across images too. */
static bool is_matrix(const sqz_conv *v)
{
    const sqz_window *w = &v->w;
    const int h = SQZ_AXIS_H, d = SQZ_AXIS_D;
    bool bare = v->taps == 1 && !v->transposed && w->in[d] == 1 && w->out[d] == 1;
    for (int a = 0; a < SQZ_WINDOW_AXES; a++)
        bare = bare && !w->begin[a] && !w->end[a];
    return bare && (w->in[h] == w->out[h] * w->stride[h] ||
                    v->pixels == (size_t)w->out[h] * (size_t)w->out[SQZ_AXIS_W]);
}

static sqz_status prepare_matrix(sqz_prep *p, conv_s8 *s)
{
    const sqz_window *w = &s->v.w;
    s->step = (size_t)w->stride[SQZ_AXIS_W] * s->v.c_in;
    s->line = (size_t)(w->stride[SQZ_AXIS_H] * w->in[SQZ_AXIS_W]) * s->v.c_in;
    s->p.unit = s->v.pointwise ? 1 : (size_t)w->out[SQZ_AXIS_W];
    return sqz_s8_prepare_matrix(p, &s->p);
}

static sqz_status run_matrix(const sqz_call *c, const conv_s8 *s)
{
    const size_t width = (size_t)s->v.w.out[SQZ_AXIS_W];
    if (s->v.pointwise)
        return sqz_s8_run_matrix(c, &s->p, SQZ_MAX(s->p.rows, (size_t)1), s->v.c_in, 0);
    return sqz_s8_run_matrix(c, &s->p, width, s->step, s->line);
}

/* ---- windows ---- */

/* The taps of a kernel line lie side by side. */
static bool whole_lines(const sqz_conv *v)
{
    return v->groups == 1 && (v->w.dil[SQZ_AXIS_W] == 1 || v->w.k[SQZ_AXIS_W] == 1);
}

/* Lines of output whose band is not too large; at least one. */
static size_t band_lines(const sqz_conv *v)
{
    const sqz_window *w = &v->w;
    const size_t line = (size_t)((w->out[SQZ_AXIS_W] - 1) * w->stride[SQZ_AXIS_W] +
                                 (w->k[SQZ_AXIS_W] - 1) * w->dil[SQZ_AXIS_W] + 1);
    const size_t all = BAND_BYTES / SQZ_MAX(line * v->c_in * (size_t)w->k[SQZ_AXIS_D], (size_t)1);
    const size_t more = (size_t)((w->k[SQZ_AXIS_H] - 1) * w->dil[SQZ_AXIS_H]);
    return all > more ? SQZ_MAX((all - more) / (size_t)w->stride[SQZ_AXIS_H], (size_t)1) : 1;
}

static sqz_status prepare_band(sqz_prep *p, conv_s8 *s)
{
    const sqz_window *w = &s->v.w;
    const uint8_t flip = p->ctx->kernels->s8_flip;
    const size_t width = (size_t)w->out[SQZ_AXIS_W], height = (size_t)w->out[SQZ_AXIS_H];
    size_t *seg = sqz_arena_alloc(p->arena, s->v.taps, sizeof *seg), bytes = 0;
    if (!seg)
        return SQZ_E_NOMEM;
    s->p.unit = width;
    s->p.next = s->v.depth;
    sqz_s8_split(&s->p, band_lines(&s->v) * width);
    SQZ_TRY(sqz_band_make(p->ctx, w, s->v.c_in, (int64_t)SQZ_MIN(s->p.grain / width, height),
                          s->p.lin->in_zero, flip, s->p.len % 4 != 0, &s->band, &bytes));
    sqz_band_segments(&s->band, whole_lines(&s->v), seg);
    s->p.seg = seg;
    s->p.each = sqz_scratch_round(bytes);
    return sqz_scratch_all(p, s->p.each);
}

/* Rows are whole lines of output; a chunk may hold the end of one plane and more. */
static sqz_status band_chunk(const sqz_call *c, const sqz_s8_product *p, void *arg, size_t begin,
                             size_t end, size_t from, size_t to)
{
    const conv_s8 *s = arg;
    const sqz_window *w = &s->v.w;
    const size_t width = (size_t)w->out[SQZ_AXIS_W], height = (size_t)w->out[SQZ_AXIS_H];
    const size_t depth = (size_t)w->out[SQZ_AXIS_D];
    char *scratch = sqz_s8_scratch(c, p);
    for (size_t l = begin / width, n; l < end / width; l += n) {
        const size_t y = l % height, plane = l / height;
        n = SQZ_MIN(end / width - l, height - y);
        const sqz_left left = {.a = sqz_band_at(&s->band, c->in[0]->data, plane / depth,
                                                (int64_t)(plane % depth), (int64_t)y,
                                                (int64_t)(y + n), scratch),
                               .m = n * width,
                               .width = width,
                               .step = (size_t)w->stride[SQZ_AXIS_W] * s->v.c_in,
                               .line = (size_t)w->stride[SQZ_AXIS_H] * s->band.line};
        SQZ_TRY(sqz_s8_store(c, p, &left, l * width, from, to));
    }
    return SQZ_OK;
}

/* ---- transposed: rows of gathered taps ---- */

/* Input index that tap t brings to output o along an axis, or -1: none. */
static int64_t source(const sqz_window *w, int axis, int64_t o, int64_t t)
{
    const int64_t at = o + w->begin[axis] - t * w->dil[axis];
    if (at < 0 || at % w->stride[axis] || at / w->stride[axis] >= w->in[axis])
        return -1;
    return at / w->stride[axis];
}

/* The taps of output pixel i, all channels of each. */
static void gather(const conv_s8 *s, const sqz_call *c, size_t i, char *out)
{
    const sqz_window *w = &s->v.w;
    const sqz_pixel at = sqz_pixel_at(w, i);
    const uint8_t flip = c->ctx->kernels->s8_flip;
    const int64_t k_h = w->k[SQZ_AXIS_H], k_w = w->k[SQZ_AXIS_W];
    const char *image = (const char *)c->in[0]->data + at.n * sqz_volume(w->in) * s->v.c_in;
    for (int64_t t = 0; t < (int64_t)s->v.taps; t++, out += s->v.c_in) {
        const int64_t z = source(w, SQZ_AXIS_D, at.z, t / (k_h * k_w));
        const int64_t y = source(w, SQZ_AXIS_H, at.y, t / k_w % k_h);
        const int64_t x = source(w, SQZ_AXIS_W, at.x, t % k_w);
        const int64_t pixel = (z * w->in[SQZ_AXIS_H] + y) * w->in[SQZ_AXIS_W] + x;
        if (z < 0 || y < 0 || x < 0)
            memset(out, (uint8_t)s->p.lin->in_zero ^ flip, s->v.c_in);
        else
            sqz_band_copy(out, image + (size_t)pixel * s->v.c_in, s->v.c_in, flip);
    }
}

static sqz_status prepare_gather(sqz_prep *p, conv_s8 *s)
{
    const size_t row = s->v.taps * s->v.c_in;
    size_t *seg = sqz_arena_alloc(p->arena, s->v.taps, sizeof *seg), bytes;
    if (!seg)
        return SQZ_E_NOMEM;
    for (size_t t = 0; t < s->v.taps; t++)
        seg[t] = t * s->v.c_in;
    s->p.unit = 1;
    s->p.seg = seg;
    s->p.next = s->v.depth;
    sqz_s8_split(&s->p, SQZ_MAX(BAND_BYTES / row, (size_t)56));
    if (!sqz_mul(SQZ_MIN(s->p.grain, s->p.rows), row, &bytes) ||
        !sqz_add(bytes, SQZ_BAND_SLACK, &bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "windows of %zu numbers are too large", row);
    s->p.each = sqz_scratch_round(bytes);
    return sqz_scratch_all(p, s->p.each);
}

static sqz_status gather_chunk(const sqz_call *c, const sqz_s8_product *p, void *arg, size_t begin,
                               size_t end, size_t from, size_t to)
{
    const conv_s8 *s = arg;
    const size_t row = s->v.taps * s->v.c_in;
    char *scratch = sqz_s8_scratch(c, p);
    for (size_t i = begin; i < end; i++)
        gather(s, c, i, scratch + (i - begin) * row);
    const sqz_left left = {.a = scratch, .m = end - begin, .width = end - begin, .step = row};
    return sqz_s8_store(c, p, &left, begin, from, to);
}

/* ---- all ---- */

sqz_status sqz_conv_prepare_s8(sqz_prep *p, const sqz_conv_shape *shape)
{
    conv_s8 *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    sqz_linear *lin;
    if (!s)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_conv_geometry(p, shape, &s->v));
    const sqz_conv *v = &s->v;
    s->form = v->transposed ? FORM_GATHER : is_matrix(v) ? FORM_MATRIX : FORM_BAND;
    const size_t taps = s->form == FORM_BAND && whole_lines(v) ? (size_t)v->w.k[SQZ_AXIS_W] : 1;
    const sqz_weights w = {.n = v->c_out,
                           .k = v->k,
                           .ld_n = v->k,
                           .ld_k = 1,
                           .groups = v->groups,
                           .n_seg = v->taps / taps,
                           .len = taps * v->depth,
                           .slot = 1,
                           .bias = 2};
    SQZ_TRY(sqz_linear_prepare(p, &w, &lin));
    s->p = (sqz_s8_product){.lin = lin, .rows = v->pixels, .n_seg = w.n_seg, .len = w.len};
    p->state = s;
    switch (s->form) {
    case FORM_MATRIX: return prepare_matrix(p, s);
    case FORM_GATHER: return prepare_gather(p, s);
    default: return prepare_band(p, s);
    }
}

sqz_status sqz_conv_run_s8(const sqz_call *c)
{
    conv_s8 *s = c->state;
    switch (s->form) {
    case FORM_MATRIX: return run_matrix(c, s);
    case FORM_GATHER: return sqz_s8_run(c, &s->p, gather_chunk, s);
    default: return sqz_s8_run(c, &s->p, band_chunk, s);
    }
}
