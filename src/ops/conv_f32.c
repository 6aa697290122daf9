/* conv_f32.c: float convolutions without im2col: the rows of a product are the output pixels of
 * some lines, its terms the lines of the kernel, whose taps lie side by side in a channel-last
 * image with its padding in place (band.h). */
#include "ops/band.h"
#include "ops/conv.h"
#include "ops/product.h"
#include "ops/winograd.h"

typedef struct conv_f32 {
    sqz_conv v;
    sqz_winograd *winograd; /* 3x3 where it is faster */
    sqz_matrix matrix;      /* pointwise: the input is the left side */
    /* else */
    sqz_product p;
    sqz_division s; /* a unit is a line of output */
    sqz_window w;   /* with a single axis along H */
    sqz_band band;
    size_t *seg, n_seg, len; /* of the kernel, `len` terms each */
    size_t each, pieces;     /* bytes of a band; bands of a range */
    bool gather;             /* they are made before the chunks, as several chunks read each */
    char *bands;             /* in the scratch of this run */
} conv_f32;

static sqz_weights weights_of(const sqz_conv *v)
{
    return (sqz_weights){.n = v->c_out,
                         .k = v->k,
                         .ld_n = v->k,
                         .ld_k = 1,
                         .groups = v->groups,
                         .slot = 1,
                         .bias = 2};
}

/* With one axis, pixels become lines of their own: a range may begin at any. */
static void turn(sqz_window *w)
{
    enum { H = SQZ_AXIS_H, W = SQZ_AXIS_W };
    const sqz_window from = *w;
    if (from.in[H] != 1 || from.k[H] != 1 || from.begin[H] || from.end[H])
        return;
    const int64_t *const source[] = {from.in,  from.out,   from.k,  from.stride,
                                     from.dil, from.begin, from.end};
    int64_t *const target[] = {w->in, w->out, w->k, w->stride, w->dil, w->begin, w->end};
    for (size_t i = 0; i < SQZ_COUNT(target); i++) {
        target[i][W] = source[i][H];
        target[i][H] = source[i][W];
    }
}

/* Kernel lines that follow one another in memory become one. */
static void join(conv_f32 *f)
{
    for (size_t s = 1; s < f->n_seg; s++)
        if (f->seg[s] != s * f->len * sizeof(float))
            return;
    f->len *= f->n_seg;
    f->n_seg = 1;
}

/* Ranges, then the largest band and where the taps lie in it. */
static sqz_status divide(sqz_prep *p, conv_f32 *f)
{
    const sqz_conv *v = &f->v;
    const size_t width = (size_t)f->w.out[SQZ_AXIS_W], height = (size_t)f->w.out[SQZ_AXIS_H];
    const size_t planes = v->pixels / (width * height);
    const size_t reads = (size_t)f->w.in[SQZ_AXIS_W] * (size_t)f->w.stride[SQZ_AXIS_H] * v->c_in;
    f->s = (sqz_division){.units = planes * height, .plane = height};
    sqz_product_divide(&f->p, width, (reads + width * v->c_out) * sizeof(float), &f->s);
    const size_t parts = SQZ_MAX(f->s.n_ranges / SQZ_MAX(planes, (size_t)1), (size_t)1);
    const size_t lines = (height + parts - 1) / parts;
    SQZ_TRY(sqz_band_make(p->ctx, &f->w, v->c_in * sizeof(float), (int64_t)lines, 0, 0, false,
                          &f->band, &f->each));
    f->each = sqz_scratch_round(f->each);
    f->pieces = (planes + f->s.n_ranges - 1) / f->s.n_ranges;
    f->gather = f->s.n_outputs > 1 && !f->band.direct;
    f->seg = sqz_arena_alloc(p->arena, v->taps, sizeof *f->seg);
    if (!f->seg)
        return SQZ_E_NOMEM;
    f->n_seg = sqz_band_segments(
        &f->band, v->groups == 1 && (f->w.dil[SQZ_AXIS_W] == 1 || f->w.k[SQZ_AXIS_W] == 1), f->seg);
    f->len = v->k / f->n_seg;
    join(f);
    return SQZ_OK;
}

static sqz_status workspace(sqz_prep *p, const conv_f32 *f)
{
    const size_t shared = sqz_scratch_round(f->p.shared);
    size_t all;
    if (!f->gather)
        SQZ_TRY(sqz_scratch_all(p, f->each));
    else if (!sqz_mul(f->s.n_ranges * f->pieces, f->each, &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace is too large");
    if (!sqz_add(p->scratch_bytes, shared, &all))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace is too large");
    p->scratch_bytes = all;
    return SQZ_OK;
}

sqz_status sqz_conv_f32_prepare(sqz_prep *p, const sqz_conv_shape *s)
{
    conv_f32 *f = sqz_arena_alloc(p->arena, 1, sizeof *f);
    if (!f)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_conv_geometry(p, s, &f->v));
    const sqz_weights w = weights_of(&f->v);
    const size_t tile = sqz_winograd_tile(p, &f->v, s->gradient);
    p->state = f;
    if (tile)
        return sqz_winograd_prepare(p, &f->v, tile, &f->winograd);
    if (f->v.pointwise)
        return sqz_matrix_prepare(p, &w, f->v.pixels, f->v.c_in * sizeof(float), &f->matrix);
    f->w = f->v.w;
    turn(&f->w);
    SQZ_TRY(sqz_product_prepare(p, &w, &f->p));
    SQZ_TRY(divide(p, f));
    return workspace(p, f);
}

/* ---- running ---- */

typedef struct job {
    const sqz_call *c;
    const conv_f32 *f;
} job;

typedef struct piece { /* lines of one plane */
    size_t n;
    int64_t z, y0, y1;
} piece;

/* The lines from `unit` on, to the end of the range or of the plane. */
static piece piece_at(const conv_f32 *f, size_t unit, size_t end)
{
    const size_t height = (size_t)f->w.out[SQZ_AXIS_H], depth = (size_t)f->w.out[SQZ_AXIS_D];
    const size_t plane = unit / height, y = unit % height;
    return (piece){.n = plane / depth,
                   .z = (int64_t)(plane % depth),
                   .y0 = (int64_t)y,
                   .y1 = (int64_t)SQZ_MIN(height, y + end - unit)};
}

static sqz_status gather(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const conv_f32 *f = j->f;
    for (size_t i = begin; i < end; i++) {
        const sqz_chunk at = sqz_chunk_at(&f->s, f->p.n, i);
        char *out = f->bands + i * f->pieces * f->each;
        for (size_t u = at.unit; u < at.unit_end; out += f->each) {
            const piece q = piece_at(f, u, at.unit_end);
            (void)sqz_band_at(&f->band, j->c->in[0]->data, q.n, q.z, q.y0, q.y1, out);
            u += (size_t)(q.y1 - q.y0);
        }
    }
    return SQZ_OK;
}

/* The product of the pixels of a piece, whose taps lie from `x` on. */
static sqz_status multiply(const job *j, const sqz_chunk *at, size_t unit, size_t lines,
                           const char *x)
{
    const conv_f32 *f = j->f;
    const size_t width = (size_t)f->w.out[SQZ_AXIS_W];
    const sqz_product_rows r = {.l = {.a = x,
                                      .m = lines * width,
                                      .width = width,
                                      .step = (size_t)f->w.stride[SQZ_AXIS_W] * f->band.pixel,
                                      .line = (size_t)f->w.stride[SQZ_AXIS_H] * f->band.line,
                                      .seg = f->seg,
                                      .n_seg = f->n_seg,
                                      .len = f->len},
                                .group = f->v.depth * sizeof(float),
                                .first = unit * width,
                                .begin = at->begin,
                                .end = at->end};
    return sqz_product_run(j->c, &f->p, &r);
}

static sqz_status chunk(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const conv_f32 *f = j->f;
    char *own = f->bands + (f->gather ? 0 : (size_t)sqz_worker_index() * f->each);
    for (size_t i = begin; i < end; i++) {
        const sqz_chunk at = sqz_chunk_at(&f->s, f->p.n, i);
        const char *made = f->bands + at.range * f->pieces * f->each;
        for (size_t u = at.unit; u < at.unit_end; made += f->each) {
            const piece q = piece_at(f, u, at.unit_end);
            const size_t lines = (size_t)(q.y1 - q.y0);
            const char *x = f->gather ? made
                                      : sqz_band_at(&f->band, j->c->in[0]->data, q.n, q.z, q.y0,
                                                    q.y1, own);
            SQZ_TRY(multiply(j, &at, u, lines, x));
            u += lines;
        }
    }
    return SQZ_OK;
}

sqz_status sqz_conv_f32_run(const sqz_call *c)
{
    conv_f32 *f = c->state;
    job j = {c, f};
    if (f->winograd)
        return sqz_winograd_run(f->winograd, c);
    if (f->v.pointwise)
        return sqz_matrix_run(c, &f->matrix);
    if (c->out[0]->count == 0)
        return SQZ_OK;
    f->bands = (char *)c->scratch + sqz_scratch_round(f->p.shared);
    sqz_product_start(c, &f->p);
    if (f->gather)
        SQZ_TRY(sqz_parallel(c->ctx, f->s.n_ranges, 1, gather, &j));
    return sqz_parallel(c->ctx, f->s.n_ranges * f->s.n_outputs, 1, chunk, &j);
}
