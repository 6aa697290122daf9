/* deform_conv: a convolution whose taps are moved by offsets and weighted by a mask, both computed
 * by the network: x (N,I,H,W), w (O,I/g,Kh,Kw), offset (N,G*Kh*Kw*2,H',W') with (dy, dx) of each
 * tap, b (O), mask (N,G*Kh*Kw,H',W') -> y (N,O,H',W'). Input channels are split into G groups with
 * offsets of their own. Taps between pixels are interpolated; outside is zero.
 * X. Zhu et al., "Deformable ConvNets v2" (2018). */
#include "kernels/blas.h"
#include "ops/conv.h"
#include "ops/ew.h"
#include "ops/grad.h"
#include "ops/sample.h"
#include <string.h>

typedef struct attrs {
    sqz_window_attrs window;
    int64_t group, offset_group;
} attrs;
static const sqz_attr schema[] = {
    SQZ_WINDOW_ROWS(attrs, window),
    {.name = "group",
     .offset = offsetof(attrs, group),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 1,
     .max = INT32_MAX,
     .doc = "channels are split into so many independent convolutions"},
    {.name = "offset_group",
     .offset = offsetof(attrs, offset_group),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 1,
     .max = INT32_MAX,
     .doc = "input channels are split into so many groups with offsets of their own"},
};

/* ---- shapes ---- */

/* Optional input k must have this many channels and the size of the output. */
static sqz_status check_map(const sqz_infer *q, unsigned k, const char *name, int64_t channels)
{
    const sqz_shape *m = &q->in[k]->shape, *y = &q->out[0];
    SQZ_TRY(sqz_need_real(q, k));
    if (m->rank != 4 || m->dim[0] != y->dim[0] || m->dim[1] != channels || m->dim[2] != y->dim[2] ||
        m->dim[3] != y->dim[3])
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "%s must have shape %lldx%lldx%lldx%lld", name,
                        (long long)y->dim[0], (long long)channels, (long long)y->dim[2],
                        (long long)y->dim[3]);
    return SQZ_OK;
}

static sqz_status infer(sqz_infer *q)
{
    const attrs *at = q->attrs;
    const sqz_shape *x = &q->in[0]->shape, *w = &q->in[1]->shape;
    sqz_window win;
    SQZ_TRY(sqz_check_types(q)); /* all five are floats */
    if (x->rank != 4 || w->rank != 4)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED,
                        "an input of rank %d and weights of rank %d, expected both 4", (int)x->rank,
                        (int)w->rank);
    const int64_t g = at->group, c = x->dim[1];
    if (c < 1 || c % g || c / g != w->dim[1] || w->dim[0] < 1 || w->dim[0] % g ||
        c % at->offset_group)
        return sqz_fail(q->ctx, SQZ_E_SHAPE,
                        "%lld input channels, weights of %lld x %lld, %lld groups and %lld of "
                        "offsets",
                        (long long)c, (long long)w->dim[0], (long long)w->dim[1], (long long)g,
                        (long long)at->offset_group);
    SQZ_TRY(sqz_window_make(q->ctx, 2, x->dim + 2, w->dim + 2, &at->window, false, &win));
    q->out[0] = (sqz_shape){4, {x->dim[0], w->dim[0], win.out[SQZ_AXIS_H], win.out[SQZ_AXIS_W]}};
    const int64_t maps = at->offset_group * w->dim[2] * w->dim[3];
    if (x->dim[2] < 1 || x->dim[3] < 1)
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "the image is empty");
    if (!q->in[2])
        return sqz_fail(q->ctx, SQZ_E_FORMAT, "the offsets are missing");
    SQZ_TRY(check_map(q, 2, "offset", 2 * maps));
    const sqz_value *b = q->n_in > 3 ? q->in[3] : NULL;
    if (b && (b->shape.rank != 1 || b->shape.dim[0] != w->dim[0]))
        return sqz_fail(q->ctx, SQZ_E_SHAPE, "the bias must have %lld numbers",
                        (long long)w->dim[0]);
    return q->n_in > 4 && q->in[4] ? check_map(q, 4, "mask", maps) : SQZ_OK;
}

static void cost(const sqz_infer *q, sqz_cost *out)
{
    const sqz_shape *w = &q->in[1]->shape, *y = &q->out[0];
    *out = (sqz_cost){.kind = SQZ_COST_CONV, .macs = 1};
    for (int32_t i = 0; i < 4; i++)
        out->macs *= (uint64_t)y->dim[i];
    for (int32_t i = 1; i < 4; i++)
        out->macs *= (uint64_t)w->dim[i];
}

/* ---- running: rows of taps, then a matrix product, as conv.c ---- */

typedef struct state {
    sqz_window w;
    size_t c_in, c_out, group, offset_group, taps, k; /* k: terms of one output */
    size_t plane, pixels;                             /* of the output; of all samples */
    size_t grain, rows, each; /* pixels of a chunk; floats of their taps; scratch of a worker */
} state;

static sqz_status prepare(sqz_prep *p)
{
    const attrs *at = p->attrs;
    const sqz_shape *x = &p->in[0]->shape, *w = &p->in[1]->shape;
    state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    if (!s)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_window_make(p->ctx, 2, x->dim + 2, w->dim + 2, &at->window, false, &s->w));
    s->c_in = (size_t)x->dim[1];
    s->c_out = (size_t)w->dim[0];
    s->group = (size_t)at->group;
    s->offset_group = (size_t)at->offset_group;
    s->taps = sqz_volume(s->w.k);
    s->k = s->c_in / s->group * s->taps;
    s->plane = sqz_volume(s->w.out);
    s->pixels = (size_t)x->dim[0] * s->plane;
    s->grain = sqz_sgemm_grain(s->k);
    s->rows = s->grain * s->c_in * s->taps;
    s->each = sqz_scratch_round((s->rows + s->grain * s->c_out) * sizeof(float));
    p->state = s;
    return sqz_scratch_all(p, s->each);
}

/* The taps of all channels of pixel i: (channel, tap) in the order of the weights. */
static void gather(const sqz_call *c, const state *s, size_t i, float *row)
{
    const size_t n = i / s->plane, o = i % s->plane, width = (size_t)s->w.out[SQZ_AXIS_W];
    const size_t image = (size_t)(s->w.in[SQZ_AXIS_H] * s->w.in[SQZ_AXIS_W]);
    const size_t maps = s->offset_group * s->taps, per = s->c_in / s->offset_group;
    const sqz_tensor *mask = sqz_input(c, 4);
    const float *offset = SQZ_F32P(c->in[2]) + n * 2 * maps * s->plane + o;
    const sqz_sampler sampler = {
        .n = 2, .size = {s->w.in[SQZ_AXIS_H], s->w.in[SQZ_AXIS_W]}, .align_corners = true};
    for (size_t m = 0; m < maps; m++) {
        const int64_t tap = (int64_t)(m % s->taps), k_w = s->w.k[SQZ_AXIS_W];
        const float at[] = {
            (float)sqz_window_input(&s->w, SQZ_AXIS_H, (int64_t)(o / width), tap / k_w) +
                offset[2 * m * s->plane],
            (float)sqz_window_input(&s->w, SQZ_AXIS_W, (int64_t)(o % width), tap % k_w) +
                offset[(2 * m + 1) * s->plane]};
        const float weight = mask ? SQZ_F32P(mask)[(n * maps + m) * s->plane + o] : 1.0f;
        sqz_samples t;
        sqz_sample(&sampler, at, &t);
        for (size_t ch = m / s->taps * per; ch < (m / s->taps + 1) * per; ch++) {
            const float *x = SQZ_F32P(c->in[0]) + (n * s->c_in + ch) * image;
            float sum = 0;
            for (unsigned k = 0; k < t.n; k++)
                sum += t.weight[k] * x[t.at[k]];
            row[ch * s->taps + (size_t)tap] = sum * weight;
        }
    }
}

static sqz_status chunk(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const state *s = c->state;
    const sqz_tensor *bias = sqz_input(c, 3);
    float *rows = (float *)(void *)((char *)c->scratch + (size_t)sqz_worker_index() * s->each);
    float *out = rows + s->rows, *y = SQZ_F32P(c->out[0]);
    const size_t n = s->c_out / s->group, all = s->c_in * s->taps;
    for (size_t i = begin; i < end; i++)
        gather(c, s, i, rows + (i - begin) * all);
    for (size_t g = 0; g < s->group; g++) {
        const sqz_sgemm p = {.m = end - begin,
                             .n = n,
                             .k = s->k,
                             .a = rows + g * s->k,
                             .lda = all,
                             .b = SQZ_F32P(c->in[1]) + g * n * s->k,
                             .ldb = s->k,
                             .b_rows = true,
                             .bias = bias ? SQZ_F32P(bias) + g * n : NULL,
                             .c = out + g * n,
                             .ldc = s->c_out};
        sqz_sgemm_rows(&p, 0, p.m);
    }
    for (size_t i = begin; i < end; i++)
        for (size_t o = 0; o < s->c_out; o++)
            y[(i / s->plane * s->c_out + o) * s->plane + i % s->plane] =
                out[(i - begin) * s->c_out + o];
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const state *s = c->state;
    sqz_call call = *c;
    return sqz_parallel(c->ctx, s->pixels, s->grain, chunk, &call);
}

/* ---- ONNX ---- */

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    attrs at = {.group = sqz_import_int(im, "group", 1),
                .offset_group = sqz_import_int(im, "offset_group", 1)};
    SQZ_TRY(sqz_conv_import_window(im, &at.window));
    if (at.group < 1 || at.offset_group < 1)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "%lld groups and %lld of offsets",
                        (long long)at.group, (long long)at.offset_group);
    return sqz_import_node(im, op, &at, im->in, sqz_import_n_in(im));
}

/* ---- gradient. Pixel by pixel, in order: the weights of a pixel's taps meet in all of x, and
 * such layers are few. ---- */

typedef struct grad_state {
    void *run;
    size_t rows; /* floats of the taps of a pixel, and of their gradients */
} grad_state;

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    sqz_prep run_prep = sqz_grad_as_prep(p);
    grad_state *g = sqz_arena_alloc(p->arena, 1, sizeof *g);
    if (!g)
        return SQZ_E_NOMEM;
    SQZ_TRY(prepare(&run_prep));
    const state *s = run_prep.state;
    g->run = run_prep.state;
    g->rows = s->c_in * s->taps;
    p->state = g;
    if (!sqz_mul(g->rows, 2 * sizeof(float), &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    return SQZ_OK;
}

/* dw and db of pixel i, and the gradients of its taps in `d`. */
static void grad_product(const sqz_grad_call *c, const state *s, size_t i, const float *row,
                         float *d)
{
    const size_t n = s->c_out / s->group;
    const float *g = c->out_grad[0] + i / s->plane * s->c_out * s->plane + i % s->plane;
    memset(d, 0, s->c_in * s->taps * sizeof *d);
    for (size_t o = 0; o < s->c_out; o++) {
        const float one = g[o * s->plane];
        const float *w = SQZ_F32P(c->in[1]) + o * s->k;
        const size_t from = o / n * s->k;
        for (size_t k = 0; k < s->k; k++) {
            d[from + k] += one * w[k];
            if (sqz_grad_wants(c, 1))
                c->in_grad[1][o * s->k + k] += one * row[from + k];
        }
        if (sqz_grad_wants(c, 3))
            c->in_grad[3][o] += one;
    }
}

/* Tap m of pixel i: to x, to its offset and to its mask. */
static void grad_map(const sqz_grad_call *c, const state *s, size_t i, size_t m, const float *d)
{
    const size_t n = i / s->plane, o = i % s->plane, width = (size_t)s->w.out[SQZ_AXIS_W];
    const size_t image = (size_t)(s->w.in[SQZ_AXIS_H] * s->w.in[SQZ_AXIS_W]);
    const size_t maps = s->offset_group * s->taps, per = s->c_in / s->offset_group;
    const sqz_tensor *mask = c->n_in > 4 ? c->in[4] : NULL;
    const size_t at_y = (n * 2 * maps + 2 * m) * s->plane + o, at_x = at_y + s->plane;
    const size_t at_mask = (n * maps + m) * s->plane + o;
    const int64_t tap = (int64_t)(m % s->taps), k_w = s->w.k[SQZ_AXIS_W];
    const sqz_sampler sampler = {
        .n = 2, .size = {s->w.in[SQZ_AXIS_H], s->w.in[SQZ_AXIS_W]}, .align_corners = true};
    const float at[] = {
        (float)sqz_window_input(&s->w, SQZ_AXIS_H, (int64_t)(o / width), tap / k_w) +
            SQZ_F32P(c->in[2])[at_y],
        (float)sqz_window_input(&s->w, SQZ_AXIS_W, (int64_t)(o % width), tap % k_w) +
            SQZ_F32P(c->in[2])[at_x]};
    const float weight = mask ? SQZ_F32P(mask)[at_mask] : 1.0f;
    double by_y = 0, by_x = 0, by_mask = 0;
    sqz_sample_slopes t;
    sqz_sample_grad(&sampler, at, &t);
    for (size_t ch = m / s->taps * per; ch < (m / s->taps + 1) * per; ch++) {
        const float g = d[ch * s->taps + (size_t)tap];
        const size_t base = (n * s->c_in + ch) * image;
        for (unsigned k = 0; k < t.s.n; k++) {
            const double x = (double)(g * SQZ_F32P(c->in[0])[base + t.s.at[k]]);
            if (sqz_grad_wants(c, 0))
                c->in_grad[0][base + t.s.at[k]] += g * weight * t.s.weight[k];
            by_y += x * (double)(weight * t.slope[k][0]);
            by_x += x * (double)(weight * t.slope[k][1]);
            by_mask += x * (double)t.s.weight[k];
        }
    }
    if (sqz_grad_wants(c, 2)) {
        c->in_grad[2][at_y] += (float)by_y;
        c->in_grad[2][at_x] += (float)by_x;
    }
    if (sqz_grad_wants(c, 4))
        c->in_grad[4][at_mask] += (float)by_mask;
}

static sqz_status grad(const sqz_grad_call *c)
{
    const grad_state *g = c->state;
    const state *s = g->run;
    const sqz_call run_call = {.ctx = c->ctx, .attrs = c->attrs, .n_in = c->n_in, .in = c->in};
    float *row = c->scratch, *d = row + g->rows;
    if (sqz_grad_none(c))
        return SQZ_OK;
    for (unsigned k = 0; k < c->n_in; k++)
        sqz_grad_begin(c, k);
    for (size_t i = 0; i < s->pixels; i++) {
        gather(&run_call, s, i, row);
        grad_product(c, s, i, row, d);
        for (size_t m = 0; m < s->offset_group * s->taps; m++)
            grad_map(c, s, i, m, d);
    }
    return SQZ_OK;
}

static const sqz_case cases[] = {
    {.attrs = "pads=1,1,1,1",
     .n_in = 3,
     .in = {{4, {2, 3, 4, 5}}, {4, {4, 3, 3, 3}}, {4, {2, 18, 4, 5}}}},
    {.attrs = "group=2 offset_group=2 strides=2,1 dilations=1,2",
     .n_in = 5,
     .in = {{4, {1, 4, 6, 5}}, {4, {6, 2, 2, 2}}, {4, {1, 16, 3, 3}}, {1, {6}}, {4, {1, 8, 3, 3}}}},
};

const sqz_op sqz_op_deform_conv = {
    .info = {.name = "deform_conv",
             .doc = "convolution with taps that the network moves",
             .opt_size = sizeof(attrs),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .n_in_min = 3,
    .n_in_max = 5,
    .n_out_min = 1,
    .n_out_max = 1,
    .infer = infer,
    .run = run,
    .cost = cost,
    .prepare = prepare,
    .grad = grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "DeformConv", .since = 19, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
