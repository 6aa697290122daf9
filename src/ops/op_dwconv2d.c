/* dwconv2d: depthwise convolution: x (N,H,W,I), w (O,Kh,Kw,1), b (O) -> y (N,H',W',O); output
 * channel o reads input channel o / (O/I) only. Also (N,W,I) with w (O,Kw,1),
 * and (N,D,H,W,I). */
#include "ops/conv.h"
#include "ops/dwconv_grad.h"
#include "ops/pixels.h"
#include "ops/ties.h"
#include <math.h>

enum {
    CHUNK = 400 * 1000, /* products of a chunk: about 10 us */
    BAND = 8            /* output lines of a kernel call: its lists of pixels stay in L1 */
};

typedef struct dw_attrs {
    sqz_window_attrs window;
} dw_attrs;
static const sqz_attr attrs[] = {SQZ_WINDOW_ROWS(dw_attrs, window)};

static sqz_status infer(sqz_infer *q)
{
    return sqz_conv_infer(
        q, &(sqz_conv_shape){.attrs = &((const dw_attrs *)q->attrs)->window, .group = 0});
}

static void cost(const sqz_infer *q, sqz_cost *out)
{
    sqz_conv_cost(q, out);
    out->kind = SQZ_COST_DEPTHWISE;
}

typedef struct dw { /* one node */
    sqz_conv v;
    sqz_pixels px;
    size_t band, lines, grain; /* output lines of a kernel call, of the output, of a chunk */
    sqz_packed packed;         /* data NULL: float weights that are packed at every run */
} dw;

/* Lines of a chunk: enough work to be worth a hand-over, whole images when they are small. */
static void cut(dw *d, const sqz_tensor *y)
{
    const size_t height = (size_t)d->v.w.out[SQZ_AXIS_H], width = (size_t)d->v.w.out[SQZ_AXIS_W];
    const size_t line = SQZ_MAX(width * d->v.c_out * d->v.taps, (size_t)1);
    d->lines = y->count / (width * d->v.c_out);
    d->grain = SQZ_MAX(CHUNK / line, (size_t)1);
    if (d->grain > height)
        d->grain -= d->grain % height;
    else if (d->grain > 1)
        d->grain -= d->grain % 2; /* tiles are two lines high */
    d->band = SQZ_MIN(SQZ_MIN(d->grain, height), (size_t)BAND);
}

/* ---- preparing ---- */

static sqz_status prepare_pixels(sqz_prep *p, dw *d, size_t size, int fill, bool list)
{
    const sqz_conv *v = &d->v;
    size_t each;
    SQZ_TRY(sqz_pixels_make(p->ctx, p->arena, &v->w, v->c_in, v->c_out, size, d->band, fill, list,
                            &d->px, &each));
    if (each > SIZE_MAX / 2)
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace for the lists of pixels is too large");
    d->v.each = sqz_scratch_round(each);
    return sqz_scratch_all(p, d->v.each);
}

static sqz_status prepare_f32(sqz_prep *p, dw *d)
{
    const sqz_conv *v = &d->v;
    const sqz_tensor *bias = p->n_in > 2 ? p->in[2] : NULL;
    SQZ_TRY(prepare_pixels(p, d, sizeof(float), 0, false));
    const size_t bytes = sqz_pack_f32_bytes(v->c_out, d->px.lines, d->px.taps);
    if (!bytes)
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the weights are too large");
    d->packed = (sqz_packed){.n = v->c_out, .n_seg = d->px.lines, .len = d->px.taps};
    if (!p->in[1]->data || (bias && !bias->data)) { /* not constant: packed at every run */
        d->v.shared = sqz_scratch_round(bytes);
        p->scratch_bytes += d->v.shared;
        return SQZ_OK;
    }
    d->packed.data = sqz_arena_alloc(p->arena, bytes, 1);
    if (!d->packed.data)
        return SQZ_E_NOMEM;
    sqz_pack_f32(&d->packed, SQZ_F32P(p->in[1]), v->taps, 1, bias ? SQZ_F32P(bias) : NULL);
    p->spent |= 1u << 1 | (bias ? 1u << 2 : 0);
    return SQZ_OK;
}

/* Windows that dwconv_s8 takes by columns. */
static bool has_columns(const sqz_window *w)
{
    const int64_t k = w->k[SQZ_AXIS_W], step = w->stride[SQZ_AXIS_W];
    const bool square = w->k[SQZ_AXIS_H] == k && w->stride[SQZ_AXIS_H] == step;
    const bool whole = w->k[SQZ_AXIS_D] == 1 && w->dil[SQZ_AXIS_H] == 1 && w->dil[SQZ_AXIS_W] == 1;
    return square && whole && (k == 3 || k == 5) && step <= 2;
}

static sqz_status prepare_s8(sqz_prep *p, dw *d)
{
    sqz_conv *v = &d->v;
    SQZ_TRY(prepare_pixels(p, d, 1, p->in_q[0]->zero[0], !has_columns(&v->w)));
    const sqz_weights w = {.n = v->c_out,
                           .k = v->taps,
                           .ld_n = v->taps,
                           .ld_k = 1,
                           .groups = 1,
                           .n_seg = d->px.taps,
                           .len = d->px.lines,
                           .depthwise = true,
                           .slot = 1,
                           .bias = 2};
    SQZ_TRY(sqz_linear_prepare(p, &w, &v->lin));
    d->packed = *v->lin->right;
    return SQZ_OK;
}

static sqz_status prepare(sqz_prep *p)
{
    const dw_attrs *a = p->attrs;
    dw *d = sqz_arena_alloc(p->arena, 1, sizeof *d);
    if (!d)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_conv_geometry(p, &(sqz_conv_shape){.attrs = &a->window, .group = 0}, &d->v));
    cut(d, p->out[0]);
    p->state = d;
    return sqz_is_integer(p) ? prepare_s8(p, d) : prepare_f32(p, d);
}

/* ---- running ---- */

typedef struct job {
    const sqz_call *c;
    sqz_packed packed;
} job;

static void band_f32(const job *j, const sqz_windows *x, size_t at, size_t ld)
{
    const sqz_fused *f = j->c->fused;
    const sqz_out_f32 o = {.y = SQZ_F32P(j->c->out[0]) + at,
                           .ld = ld,
                           .bias = f && f->bias ? SQZ_F32P(f->bias) : NULL,
                           .add = f && f->add ? SQZ_F32P(f->add) + at : NULL,
                           .ld_add = ld,
                           .lo = f ? f->lo : -INFINITY,
                           .hi = f ? f->hi : INFINITY};
    j->c->ctx->kernels->dwconv_f32(&j->packed, x, &o);
}

static void band_s8(const job *j, const sqz_windows *x, size_t at, size_t ld)
{
    const dw *d = j->c->state;
    const sqz_out_s8 o = {.y = SQZ_S8P(j->c->out[0]) + at, .ld = ld, .rq = &d->v.lin->out};
    j->c->ctx->kernels->dwconv_s8(&j->packed, x, &o);
}

/* Output lines begin .. end, in bands within one plane. */
static sqz_status chunk(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const dw *d = j->c->state;
    const sqz_window *w = &d->v.w;
    const size_t height = (size_t)w->out[SQZ_AXIS_H], depth = (size_t)w->out[SQZ_AXIS_D];
    const size_t line = (size_t)w->out[SQZ_AXIS_W] * d->v.c_out;
    char *scratch = (char *)j->c->scratch + d->v.shared + (size_t)sqz_worker_index() * d->v.each;
    while (begin < end) {
        const size_t y = begin % height, plane = begin / height;
        const size_t n = SQZ_MIN(SQZ_MIN(d->band, height - y), end - begin);
        const sqz_windows x = sqz_pixels_at(&d->px, j->c->in[0]->data, plane / depth,
                                            (int64_t)(plane % depth), (int64_t)y, (int64_t)(y + n),
                                            scratch);
        (d->v.lin ? band_s8 : band_f32)(j, &x, begin * line, d->v.c_out);
        SQZ_TRY(sqz_fused_then(j->c->fused, begin * line, (begin + n) * line));
        begin += n;
    }
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    const dw *d = c->state;
    const sqz_tensor *bias = sqz_input(c, 2);
    job j = {c, d->packed};
    if (!j.packed.data) {
        j.packed.data = c->scratch;
        sqz_pack_f32(&j.packed, SQZ_F32P(c->in[1]), d->v.taps, 1, bias ? SQZ_F32P(bias) : NULL);
    }
    return sqz_parallel(c->ctx, d->lines, d->grain, chunk, &j);
}

/* ---- ONNX: a Conv with as many groups as input channels ---- */
static sqz_status write(sqz_export *e)
{
    const sqz_value *x = sqz_val(e->g, e->node->in[0]);
    SQZ_TRY(sqz_export_schema(e));
    e->attr[e->n_attr++] = (sqz_export_attr){
        .name = "group", .type = 2, .i = x->shape.dim[sqz_axis_c(x)]};
    return SQZ_OK;
}

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    return sqz_dwconv_grad_prepare(p, &((const dw_attrs *)p->attrs)->window);
}

/* With a multiplier m, outputs o of one input leave together: o / m. */
static void ties(sqz_ties *t)
{
    const sqz_value *x = t->in[0], *y = t->out[0];
    const int64_t many = y->shape.dim[sqz_axis_c(y)] / SQZ_MAX(x->shape.dim[sqz_axis_c(x)], 1);
    const sqz_tie_end in = SQZ_TIE_IN(0, sqz_axis_c(x));
    const sqz_tie_end out = {.value = -1, .axis = sqz_axis_c(y), .div = many};
    sqz_tie_same(t, SQZ_TIE_IN(0, 0), SQZ_TIE_OUT(0, 0));
    sqz_tie_same(t, SQZ_TIE_IN(1, 0), SQZ_TIE_OUT(0, sqz_axis_c(y)));
    t->row(t, &in, &out, 0);
    if (t->n_in > 2 && t->in[2])
        sqz_tie_same(t, SQZ_TIE_IN(2, 0), SQZ_TIE_OUT(0, sqz_axis_c(y)));
}

static const sqz_case cases[] = {
    {.attrs = "pads=1,1,1,1",
     .n_in = 3,
     .in = {{4, {2, 5, 4, 6}}, {4, {6, 3, 3, 1}}, {1, {6}}},
     .constant = 6},
    {.attrs = "strides=2,2 dilations=2,1",
     .n_in = 2,
     .in = {{4, {1, 7, 5, 3}}, {4, {6, 2, 3, 1}}}, /* multiplier 2 */
     .constant = 2},
    {.attrs = "strides=4,5 pads=1,2,3,1", /* windows apart from each other, multiplier 2 */
     .n_in = 3,
     .in = {{4, {2, 9, 11, 3}}, {4, {6, 2, 2, 1}}, {1, {6}}},
     .constant = 6},
    {.attrs = "pads=2,2,2,2", /* 5x5 over two bands of lines */
     .n_in = 3,
     .in = {{4, {1, 11, 7, 19}}, {4, {19, 5, 5, 1}}, {1, {19}}},
     .constant = 6},
    {.attrs = "strides=2,2 pads=2,1,2,2",
     .n_in = 3,
     .in = {{4, {1, 9, 12, 17}}, {4, {17, 5, 5, 1}}, {1, {17}}},
     .constant = 6},
    {.attrs = "strides=2,2 pads=0,0,1,1",
     .n_in = 3,
     .in = {{4, {3, 6, 8, 24}}, {4, {24, 3, 3, 1}}, {1, {24}}},
     .constant = 6},
    {.attrs = "pads=1,0", /* one dimension */
     .n_in = 3,
     .in = {{3, {2, 6, 5}}, {3, {5, 3, 1}}, {1, {5}}},
     .constant = 6},
    {.attrs = "strides=1,2,1 pads=1,1,0,1,1,0", /* three */
     .n_in = 2,
     .in = {{5, {1, 3, 5, 4, 3}}, {5, {6, 3, 3, 2, 1}}},
     .constant = 2},
};

const sqz_op sqz_op_dwconv2d = {
    .info = {.name = "dwconv2d",
             .doc = "depthwise convolution over one to three spatial axes",
             .opt_size = sizeof(dw_attrs),
             .opts = attrs,
             .n_opts = SQZ_COUNT(attrs)},
    .n_in_min = 2,
    .n_in_max = 3,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_FUSES,
    .layout = SQZ_L_CHANNELS,
    .infer = infer,
    .run = run,
    .cost = cost,
    .prepare = prepare,
    .run_int = run,
    .grad = sqz_dwconv_grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .ties = ties,
    .quant = {.kind = SQZ_Q_LINEAR, .weight = 1, .bias = 2, .channel_axis = 0},
    .onnx = {.op_type = "Conv", .since = UINT8_MAX, .write = write}, /* read by conv2d */
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
