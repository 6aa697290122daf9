/* conv.c: convolutions as matrix products: the windows of a chunk of output pixels are gathered
 * into rows (im2col), and multiplied by the kernels of all output channels. */
#include "ops/conv.h"
#include "kernels/blas.h"
#include <string.h>

/* ---- shapes ---- */

static sqz_status check_channels(sqz_infer *q, const sqz_conv_shape *s, int64_t *c_out)
{
    const sqz_value *x = q->in[0], *w = q->in[1];
    int64_t c = x->shape.dim[sqz_axis_c(x)], o = w->shape.dim[0], i = w->shape.dim[sqz_axis_c(w)];
    int64_t groups = s->group ? s->group : c;
    bool swapped = s->extra != NULL; /* transposed: (I, O/groups, ...) */
    int64_t have = swapped ? o : i * groups, most = INT32_MAX / SQZ_MAX(groups, 1);
    if (groups < 1 || i < 1 || o < 1 || i > most || o > INT32_MAX)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "weights of %lld x %lld channels in %lld groups",
                        (long long)o, (long long)i, (long long)groups);
    if (have != c || (swapped ? c : o) % groups)
        return sqz_fail(q->ctx, SQZ_E_SHAPE,
                        "%lld input channels, but the weights are %lld x %lld in %lld groups",
                        (long long)c, (long long)o, (long long)i, (long long)groups);
    *c_out = swapped ? i * groups : o;
    return SQZ_OK;
}

static sqz_status window_of(sqz_ctx *ctx, int32_t n, const int64_t *in, const int64_t *k,
                            const sqz_conv_shape *s, sqz_window *w)
{
    return s->extra ? sqz_window_make_transposed(ctx, n, in, k, s->attrs, s->extra, w)
                    : sqz_window_make(ctx, n, in, k, s->attrs, false, w);
}

sqz_status sqz_conv_infer(sqz_infer *q, const sqz_conv_shape *s)
{
    const sqz_value *x = q->in[0], *w = q->in[1], *b = q->n_in > 2 ? q->in[2] : NULL;
    int32_t n;
    int64_t c_out = 0;
    sqz_window win;
    SQZ_TRY(sqz_check_types(q));
    SQZ_TRY(sqz_window_rank(q->ctx, &x->shape, &n));
    if (w->shape.rank != x->shape.rank)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "weights of rank %d for an input of rank %d",
                        (int)w->shape.rank, (int)x->shape.rank);
    SQZ_TRY(check_channels(q, s, &c_out));
    if (b && (b->shape.rank != 1 || b->shape.dim[0] != c_out))
        return sqz_fail(q->ctx, SQZ_E_SHAPE,
                        "the bias must have one number for each of %lld "
                        "output channels",
                        (long long)c_out);
    SQZ_TRY(
        window_of(q->ctx, n, x->shape.dim + sqz_axis_s(x), w->shape.dim + sqz_axis_s(w), s, &win));
    q->out[0] = x->shape;
    q->out[0].dim[sqz_axis_c(x)] = c_out;
    for (int32_t i = 0; i < n; i++)
        q->out[0].dim[sqz_axis_s(x) + i] = win.out[SQZ_WINDOW_AXES - n + i];
    return SQZ_OK;
}

void sqz_conv_cost(const sqz_infer *q, sqz_cost *out)
{
    const sqz_value *x = q->in[0], *w = q->in[1];
    uint64_t kernel = 1, y = 1;
    for (int32_t i = 1; i < w->shape.rank; i++)
        kernel *= (uint64_t)w->shape.dim[i];
    for (int32_t i = 0; i < q->out[0].rank; i++)
        y *= (uint64_t)q->out[0].dim[i];
    out->macs = y * kernel;
    out->kind = kernel == (uint64_t)x->shape.dim[sqz_axis_c(x)] ? SQZ_COST_POINTWISE
                                                                : SQZ_COST_CONV;
}

sqz_status sqz_conv_geometry(const sqz_prep *p, const sqz_conv_shape *s, sqz_conv *v)
{
    const sqz_shape *x = &p->in[0]->shape, *w = &p->in[1]->shape, *y = &p->out[0]->shape;
    *v = (sqz_conv){.transposed = s->extra != NULL};
    SQZ_TRY(window_of(p->ctx, x->rank - 2, x->dim + 1, w->dim + 1, s, &v->w));
    v->c_in = (size_t)x->dim[x->rank - 1];
    v->c_out = (size_t)y->dim[y->rank - 1];
    v->groups = s->group ? (size_t)s->group : v->c_in;
    v->depth = v->c_in / v->groups;
    v->taps = sqz_volume(v->w.k);
    v->k = v->taps * v->depth;
    v->pixels = p->out[0]->count / v->c_out;
    bool still = true;
    for (int a = 0; a < SQZ_WINDOW_AXES; a++)
        still = still && v->w.k[a] == 1 && v->w.stride[a] == 1 && !v->w.begin[a] && !v->w.end[a];
    v->pointwise = still && !v->transposed;
    return SQZ_OK;
}

/* ---- gathering ---- */

typedef struct source { /* where rows come from: elements of `size` bytes, `fill` in the padding */
    const char *x;
    size_t size;
    int fill;
} source;

/* Input index of tap t for output o along one axis, or -1 in the padding. */
static int64_t input_at(const sqz_conv *v, int a, int64_t o, int64_t t)
{
    const sqz_window *w = &v->w;
    int64_t i = v->transposed ? o + w->begin[a] - t * w->dil[a] : sqz_window_input(w, a, o, t);
    if (i < 0 || (v->transposed && i % w->stride[a]))
        return -1;
    i = v->transposed ? i / w->stride[a] : i;
    return i < w->in[a] ? i : -1;
}

/* One row of the kernel: Kw taps of `bytes` each, from image row `x` (NULL: padding). */
static char *gather_taps(const sqz_conv *v, const source *s, const char *x, int64_t ox, char *out)
{
    size_t bytes = v->depth * s->size, pixel = v->c_in * s->size;
    for (int64_t t = 0; t < v->w.k[SQZ_AXIS_W]; t++, out += bytes) {
        int64_t ix = x ? input_at(v, SQZ_AXIS_W, ox, t) : -1;
        if (ix < 0)
            memset(out, s->fill, bytes);
        else
            memcpy(out, x + (size_t)ix * pixel, bytes);
    }
    return out;
}

/* Without dilation and groups the taps inside the image lie side by side. */
static char *gather_run(const sqz_conv *v, const source *s, const char *x, int64_t ox, char *out)
{
    size_t pixel = v->c_in * s->size, all = (size_t)v->w.k[SQZ_AXIS_W] * pixel;
    int64_t at = sqz_window_input(&v->w, SQZ_AXIS_W, ox, 0), lo, hi;
    if (x && at >= 0 && at + v->w.k[SQZ_AXIS_W] <= v->w.in[SQZ_AXIS_W]) {
        memcpy(out, x + (size_t)at * pixel, all);
        return out + all;
    }
    memset(out, s->fill, all);
    sqz_window_taps(&v->w, SQZ_AXIS_W, ox, &lo, &hi);
    if (x && hi > lo)
        memcpy(out + (size_t)lo * pixel, x + (size_t)(at + lo) * pixel, (size_t)(hi - lo) * pixel);
    return out + all;
}

/* Rows of `k` elements for output pixels begin .. end of one group. */
static void gather(const sqz_conv *v, const source *s, size_t group, size_t begin, size_t end,
                   char *out)
{
    const sqz_window *w = &v->w;
    size_t row = (size_t)w->in[SQZ_AXIS_W] * v->c_in * s->size;
    size_t plane = (size_t)w->in[SQZ_AXIS_H] * row, image = (size_t)w->in[SQZ_AXIS_D] * plane;
    bool run = v->groups == 1 && !v->transposed && w->dil[SQZ_AXIS_W] == 1;
    for (size_t i = begin; i < end; i++) {
        sqz_pixel at = sqz_pixel_at(w, i);
        const char *base = s->x + at.n * image + group * v->depth * s->size;
        for (int64_t t = 0; t < w->k[SQZ_AXIS_D] * w->k[SQZ_AXIS_H]; t++) {
            int64_t iz = input_at(v, SQZ_AXIS_D, at.z, t / w->k[SQZ_AXIS_H]);
            int64_t iy = input_at(v, SQZ_AXIS_H, at.y, t % w->k[SQZ_AXIS_H]);
            const char *x = iz < 0 || iy < 0 ? NULL : base + (size_t)iz * plane + (size_t)iy * row;
            out = run ? gather_run(v, s, x, at.x, out) : gather_taps(v, s, x, at.x, out);
        }
    }
}

void sqz_conv_gather(const sqz_conv *v, const float *x, size_t group, size_t begin, size_t end,
                     float *rows)
{
    const source s = {.x = (const char *)(const void *)x, .size = sizeof(float)};
    gather(v, &s, group, begin, end, (char *)(void *)rows);
}

/* ---- running ---- */

typedef struct job {
    const sqz_call *call;
    const sqz_conv *v;
    const float *weights;
    char *scratch; /* of all workers */
} job;

static sqz_status chunk_f32(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_conv *v = j->v;
    const sqz_tensor *bias = sqz_input(j->call, 2);
    const source s = {.x = j->call->in[0]->data, .size = sizeof(float)};
    char *rows = j->scratch + (size_t)sqz_worker_index() * v->each;
    size_t n = v->c_out / v->groups;
    for (size_t g = 0; g < v->groups; g++) {
        sqz_sgemm p = {.m = end - begin,
                       .n = n,
                       .k = v->k,
                       .a = (const float *)(const void *)rows,
                       .lda = v->k,
                       .b = j->weights + g * n * v->k,
                       .ldb = v->k,
                       .b_rows = true,
                       .bias = bias ? SQZ_F32P(bias) + g * n : NULL,
                       .c = SQZ_F32P(j->call->out[0]) + begin * v->c_out + g * n,
                       .ldc = v->c_out};
        if (v->pointwise) {
            p.a = SQZ_F32P(j->call->in[0]) + begin * v->c_in + g * v->depth;
            p.lda = v->c_in;
        } else {
            gather(v, &s, g, begin, end, rows);
        }
        sqz_sgemm_rows(&p, 0, p.m);
    }
    return SQZ_OK;
}

static sqz_status start(const sqz_call *c, const float *weights, sqz_task_fn fn)
{
    const sqz_conv *v = c->state;
    job j = {c, v, weights, (char *)c->scratch + v->shared};
    return sqz_parallel(c->ctx, v->pixels, v->grain, fn, &j);
}
sqz_status sqz_conv_run(const sqz_call *c, const float *weights)
{
    return start(c, weights, chunk_f32);
}

sqz_status sqz_conv_prepare(sqz_prep *p, const sqz_conv_shape *s)
{
    if (sqz_is_integer(p))
        return sqz_conv_prepare_s8(p, s);
    sqz_conv *v = sqz_arena_alloc(p->arena, 1, sizeof *v);
    if (!v)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_conv_geometry(p, s, v));
    v->grain = sqz_sgemm_grain(v->k);
    v->each = v->pointwise ? 0 : sqz_scratch_round(v->grain * v->k * sizeof(float));
    v->shared = v->transposed ? sqz_scratch_round(p->in[1]->count * sizeof(float)) : 0;
    SQZ_TRY(sqz_scratch_all(p, v->each));
    if (!sqz_add(p->scratch_bytes, v->shared, &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace is too large");
    p->state = v;
    return SQZ_OK;
}

/* ---- import ---- */

unsigned sqz_import_n_in(const sqz_import *im)
{
    unsigned n = im->n_in;
    while (n && im->in[n - 1] == SQZ_NONE)
        n--;
    return n;
}

sqz_status sqz_conv_import_window(sqz_import *im, sqz_window_attrs *out)
{
    sqz_ctx *ctx = im->g->ctx;
    int32_t n;
    if (sqz_import_n_in(im) < 2 || im->in[0] == SQZ_NONE || im->in[1] == SQZ_NONE)
        return sqz_fail(ctx, SQZ_E_FORMAT, "an input or the weights are missing");
    const sqz_shape *w = &sqz_val(im->g, im->in[1])->shape;
    SQZ_TRY(sqz_window_rank(ctx, &sqz_val(im->g, im->in[0])->shape, &n));
    if (w->rank != n + 2)
        return sqz_fail(ctx, SQZ_E_FORMAT, "weights of rank %d for an input of rank %d",
                        (int)w->rank, (int)n + 2);
    const sqz_raw_attr *k = sqz_import_attr(im, "kernel_shape");
    for (int32_t i = 0; k && i < n; i++)
        if (k->ints.n != (uint32_t)n || k->ints.v[i] != w->dim[2 + i])
            return sqz_fail(ctx, SQZ_E_FORMAT,
                            "kernel_shape does not agree with the weights along spatial axis %d",
                            (int)i);
    return sqz_window_import(im, n, w->dim + 2, out);
}
