/* dwconv_grad.c: dx(p + t) += g(p) * w(t), dw(t) = sum over p of g(p) * x(p + t), channel by
 * channel. Weights stand as (taps, O) here, so that channels are neighbors everywhere. */
#include "ops/dwconv_grad.h"
#include "ops/conv_back.h"
#include "ops/grad.h"
#include "ops/pixels.h"
#include <string.h>

enum {
    MOST_PARTS = 16,
    PART_WORK = 1000000, /* products that are worth a part */
    CHANNELS = 64,       /* of one piece of work */
    BAND = 8             /* lines of a kernel call */
};

typedef struct state {
    sqz_conv v;
    size_t repeat;          /* outputs of an input channel */
    size_t samples, planes; /* output planes (H', W') of all samples */
    size_t parts, part_planes;
    size_t room; /* bytes of one set of weights */
    sqz_pixels px;
    size_t band, each, lists; /* lines of a call; bytes of its lists; where they are */
    sqz_back *back;           /* the data; NULL: line by line (several outputs of a channel) */
} state;

static sqz_status prepare_weights(sqz_grad_prep *p, state *s)
{
    sqz_prep run = sqz_grad_as_prep(p);
    const size_t height = (size_t)s->v.w.out[SQZ_AXIS_H];
    s->band = SQZ_MAX(SQZ_MIN(height, (size_t)BAND), (size_t)1);
    SQZ_TRY(sqz_pixels_make(p->ctx, p->arena, &s->v.w, s->v.c_in, s->v.c_out, sizeof(float),
                            s->band, 0, false, &s->px, &s->each));
    s->each = sqz_scratch_round(s->each);
    SQZ_TRY(sqz_scratch_all(&run, s->each));
    s->lists = p->scratch_bytes;
    if (!sqz_add(p->scratch_bytes, run.scratch_bytes, &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    return SQZ_OK;
}

sqz_status sqz_dwconv_grad_prepare(sqz_grad_prep *p, const sqz_window_attrs *attrs)
{
    state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    sqz_prep run = sqz_grad_as_prep(p);
    if (!s)
        return SQZ_E_NOMEM;
    p->state = s;
    sqz_grad_product_reads(p);
    SQZ_TRY(sqz_conv_geometry(&run, &(sqz_conv_shape){.attrs = attrs, .group = 0}, &s->v));
    const size_t height = (size_t)s->v.w.out[SQZ_AXIS_H], width = (size_t)s->v.w.out[SQZ_AXIS_W];
    s->repeat = s->v.c_out / s->v.c_in;
    s->samples = sqz_dim(p->in[0], 0);
    s->planes = s->v.pixels / SQZ_MAX(height * width, (size_t)1);
    const size_t work = s->v.pixels * s->v.c_out * s->v.taps;
    s->parts = SQZ_MAX(SQZ_MIN(SQZ_MIN(work / PART_WORK, (size_t)MOST_PARTS), s->planes),
                       (size_t)1);
    s->part_planes = (s->planes + s->parts - 1) / s->parts;
    s->room = sqz_scratch_round((s->v.taps + 1) * s->v.c_out * sizeof(float));
    if (!sqz_mul(s->room, s->parts + 1, &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    if (p->want & 2)
        SQZ_TRY(prepare_weights(p, s));
    return (p->want & 1) && sqz_back_can(&s->v) ? sqz_back_prepare(p, &s->v, &s->back) : SQZ_OK;
}

typedef struct job {
    const sqz_grad_call *c;
    const state *s;
    float *weights; /* (taps, O) */
    char *sums;     /* of the parts */
} job;

/* ---- data with several outputs of a channel: pieces are channels of samples ---- */

/* A line of outputs under one tap: `n` pixels of them from `o` on, that read pixels from `x` on. */
typedef struct line {
    size_t o, x, n, tap; /* pixels; of the whole tensors */
} line;

static void data_line(const job *j, const line *l, size_t c0, size_t c1)
{
    const size_t c_in = j->s->v.c_in, c_out = j->s->v.c_out, repeat = j->s->repeat;
    const size_t step = (size_t)j->s->v.w.stride[SQZ_AXIS_W];
    const float *w = j->weights + l->tap * c_out;
    for (size_t i = 0; i < l->n; i++) {
        const float *g = j->c->out_grad[0] + (l->o + i) * c_out;
        float *d = j->c->in_grad[0] + (l->x + i * step) * c_in;
        if (repeat == 1)
            for (size_t c = c0; c < c1; c++)
                d[c] += g[c] * w[c];
        else
            for (size_t o = c0 * repeat; o < c1 * repeat; o++)
                d[o / repeat] += g[o] * w[o];
    }
}

/* Every line and tap of output plane `plane` that meets the image. */
static void data_plane(const job *j, size_t plane, size_t c0, size_t c1)
{
    enum { D = SQZ_AXIS_D, H = SQZ_AXIS_H, W = SQZ_AXIS_W };
    const sqz_window *w = &j->s->v.w;
    const size_t depth = (size_t)w->out[D];
    const int64_t z = (int64_t)(plane % depth);
    int64_t lo[3], hi[3], t[3];
    sqz_window_taps(w, D, z, &lo[D], &hi[D]);
    for (int64_t y = 0; y < w->out[H]; y++) {
        sqz_window_taps(w, H, y, &lo[H], &hi[H]);
        for (t[D] = lo[D]; t[D] < hi[D]; t[D]++)
            for (t[H] = lo[H]; t[H] < hi[H]; t[H]++)
                for (t[W] = 0; t[W] < w->k[W]; t[W]++) {
                    const int64_t step = w->stride[W], at = sqz_window_input(w, W, 0, t[W]);
                    const int64_t x0 = at >= 0 ? 0 : (-at + step - 1) / step;
                    const int64_t last = w->in[W] - 1 - at;
                    const int64_t x1 = last < 0 ? 0 : SQZ_MIN(last / step + 1, w->out[W]);
                    if (x0 >= x1)
                        continue;
                    const int64_t iz = sqz_window_input(w, D, z, t[D]);
                    const int64_t iy = sqz_window_input(w, H, y, t[H]);
                    const size_t image = plane / depth * (size_t)w->in[D] + (size_t)iz;
                    const line l = {
                        .o = (plane * (size_t)w->out[H] + (size_t)y) * (size_t)w->out[W] +
                             (size_t)x0,
                        .x = (image * (size_t)w->in[H] + (size_t)iy) * (size_t)w->in[W] +
                             (size_t)(at + x0 * step),
                        .n = (size_t)(x1 - x0),
                        .tap = (size_t)((t[D] * w->k[H] + t[H]) * w->k[W] + t[W])};
                    data_line(j, &l, c0, c1);
                }
    }
}

static sqz_status data_piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t blocks = (j->s->v.c_in + CHANNELS - 1) / CHANNELS;
    const size_t depth = (size_t)j->s->v.w.out[SQZ_AXIS_D];
    for (size_t i = begin; i < end; i++) {
        const size_t n = i / blocks, c0 = i % blocks * CHANNELS;
        for (size_t z = 0; z < depth; z++)
            data_plane(j, n * depth + z, c0, SQZ_MIN(c0 + CHANNELS, j->s->v.c_in));
    }
    return SQZ_OK;
}

static sqz_status data(job *j)
{
    const sqz_conv *v = &j->s->v;
    const float *w = SQZ_F32P(j->c->in[1]);
    for (size_t o = 0; o < v->c_out; o++)
        for (size_t t = 0; t < v->taps; t++)
            j->weights[t * v->c_out + o] = w[o * v->taps + t];
    sqz_grad_begin(j->c, 0);
    return sqz_parallel(j->c->ctx, j->s->samples * ((v->c_in + CHANNELS - 1) / CHANNELS), 1,
                        data_piece, j);
}

/* ---- weights: pieces are planes, each with sums of its own ---- */

/* Sums of output plane `plane`, band by band. */
static void weight_plane(const job *j, size_t plane, float *sum)
{
    const state *s = j->s;
    const sqz_window *w = &s->v.w;
    const size_t height = (size_t)w->out[SQZ_AXIS_H], depth = (size_t)w->out[SQZ_AXIS_D];
    const size_t floats = (size_t)w->out[SQZ_AXIS_W] * s->v.c_out;
    char *lists = (char *)j->c->scratch + s->lists + (size_t)sqz_worker_index() * s->each;
    for (size_t y = 0; y < height; y += s->band) {
        const size_t end = SQZ_MIN(y + s->band, height);
        const sqz_windows x = sqz_pixels_at(&s->px, j->c->in[0]->data, plane / depth,
                                            (int64_t)(plane % depth), (int64_t)y, (int64_t)end,
                                            lists);
        j->c->ctx->kernels->dwouter_f32(&x, s->px.lines, s->px.taps, s->v.c_out,
                                        j->c->out_grad[0] + (plane * height + y) * floats, sum);
    }
}

static void bias_plane(const job *j, size_t plane, float *sum)
{
    const sqz_window *w = &j->s->v.w;
    const size_t n = (size_t)w->out[SQZ_AXIS_H] * (size_t)w->out[SQZ_AXIS_W], c = j->s->v.c_out;
    const float *g = j->c->out_grad[0] + plane * n * c;
    for (size_t i = 0; i < n; i++)
        for (size_t o = 0; o < c; o++)
            sum[o] += g[i * c + o];
}

static sqz_status weight_part(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const state *s = j->s;
    for (size_t part = begin; part < end; part++) {
        float *sum = (float *)(void *)(j->sums + part * s->room);
        const size_t last = SQZ_MIN((part + 1) * s->part_planes, s->planes);
        memset(sum, 0, s->room);
        for (size_t plane = part * s->part_planes; plane < last; plane++) {
            if (sqz_grad_wants(j->c, 1))
                weight_plane(j, plane, sum);
            if (sqz_grad_wants(j->c, 2))
                bias_plane(j, plane, sum + s->v.taps * s->v.c_out);
        }
    }
    return SQZ_OK;
}

/* Sum number i of all parts. */
static float total(const job *j, size_t i)
{
    float sum = 0;
    for (size_t p = 0; p < j->s->parts; p++)
        sum += ((const float *)(const void *)(j->sums + p * j->s->room))[i];
    return sum;
}

static void put(const job *j)
{
    const sqz_grad_call *c = j->c;
    const size_t taps = j->s->v.taps, n = j->s->v.c_out;
    for (size_t o = 0; o < n; o++) {
        for (size_t t = 0; sqz_grad_wants(c, 1) && t < taps; t++) {
            float *d = &c->in_grad[1][o * taps + t];
            *d = (sqz_grad_adds(c, 1) ? *d : 0) + total(j, t * n + o);
        }
        if (sqz_grad_wants(c, 2))
            c->in_grad[2][o] = (sqz_grad_adds(c, 2) ? c->in_grad[2][o] : 0) +
                               total(j, taps * n + o);
    }
}

sqz_status sqz_dwconv_grad(const sqz_grad_call *c)
{
    const state *s = c->state;
    job j = {c, s, c->scratch, (char *)c->scratch + s->room};
    if (sqz_grad_none(c))
        return SQZ_OK;
    if (sqz_grad_wants(c, 1) || sqz_grad_wants(c, 2)) {
        SQZ_TRY(sqz_parallel(c->ctx, s->parts, 1, weight_part, &j));
        put(&j);
    }
    if (!sqz_grad_wants(c, 0))
        return SQZ_OK;
    return s->back ? sqz_back_run(c, s->back) : data(&j);
}
