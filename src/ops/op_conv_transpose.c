/* conv_transpose: the gradient of a convolution as a layer: x (N,H,W,I), w (I,Kh,Kw,O/group),
 * b (O) -> y (N,H',W',O), H' = stride*(H-1) + output_padding + dilation*(Kh-1) + 1 - pads; also
 * over one or three spatial axes. Each output gathers the inputs that reach it, so that chunks of
 * outputs are independent. */
#include "ops/conv.h"
#include "ops/ties.h"
#include <string.h>

typedef struct deconv_attrs {
    sqz_window_attrs window;
    sqz_ints output_padding;
    int64_t group;
} deconv_attrs;
static const sqz_attr attrs[] = {
    SQZ_WINDOW_ROWS(deconv_attrs, window),
    {.name = "output_padding",
     .offset = offsetof(deconv_attrs, output_padding),
     .type = SQZ_A_INTS,
     .min = 0,
     .max = INT32_MAX,
     .doc = "rows and columns added at the end of each spatial axis"},
    {.name = "group",
     .offset = offsetof(deconv_attrs, group),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 1,
     .max = INT32_MAX,
     .doc = "channels are split into so many independent operators"},
};

static sqz_conv_shape shape_of(const void *at)
{
    const deconv_attrs *a = at;
    return (sqz_conv_shape){.attrs = &a->window, .extra = &a->output_padding, .group = a->group};
}

static sqz_status infer(sqz_infer *q)
{
    sqz_conv_shape s = shape_of(q->attrs);
    return sqz_conv_infer(q, &s);
}

/* Element (o, t, i) of the product's rows lies at this place in the weights (I, taps, O/g). */
static size_t place(size_t wide, size_t depth, size_t taps, size_t o, size_t t, size_t i)
{
    return ((o / wide * depth + i) * taps + t) * wide + o % wide;
}

/* The weights as a convolution has them, (O, Kh, Kw, I/g) with a scale for each output: groups
 * share theirs in the file. */
static sqz_status turned(const sqz_prep *p, const deconv_attrs *a, sqz_tensor *w, sqz_quant *q)
{
    const sqz_tensor *from = p->in[1];
    const sqz_quant *grid = p->in_q[1];
    const int32_t rank = from->shape.rank;
    const size_t wide = sqz_dim(from, rank - 1), n = wide * (size_t)a->group;
    const size_t depth = sqz_dim(from, 0) / (size_t)a->group;
    const size_t taps = from->count / sqz_dim(from, 0) / wide;
    sqz_shape s = from->shape;
    s.dim[0] = (int64_t)n;
    s.dim[rank - 1] = (int64_t)depth;
    void *data = sqz_arena_alloc(p->arena, from->bytes, 1);
    float *scale = sqz_arena_alloc(p->arena, n, sizeof *scale);
    int32_t *zero = sqz_arena_alloc(p->arena, n, sizeof *zero);
    if (!data || !scale || !zero)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_tensor_view(p->ctx, from->dtype, &s, data, w));
    for (size_t o = 0; o < n; o++)
        for (size_t k = 0; k < taps * depth; k++)
            sqz_tensor_set_f64(
                w, o * taps * depth + k,
                sqz_tensor_f64(from, place(wide, depth, taps, o, k / depth, k % depth)));
    *q = *grid;
    if (grid->n == 1)
        return SQZ_OK;
    if (grid->axis != rank - 1 || grid->n != wide)
        return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED,
                        "weights with %u scales along axis %d, expected one or %zu along axis %d",
                        (unsigned)grid->n, (int)grid->axis, wide, (int)rank - 1);
    for (size_t o = 0; o < n; o++) {
        scale[o] = grid->scale[o % wide];
        zero[o] = grid->zero[o % wide];
    }
    q->axis = 0;
    q->n = (uint32_t)n;
    q->scale = scale;
    q->zero = zero;
    return SQZ_OK;
}

static sqz_status prepare(sqz_prep *p)
{
    sqz_conv_shape s = shape_of(p->attrs);
    const sqz_tensor *in[3] = {p->in[0], p->in[1], p->n_in > 2 ? p->in[2] : NULL};
    const sqz_quant *in_q[3] = {p->in_q[0], p->in_q[1], p->n_in > 2 ? p->in_q[2] : NULL};
    sqz_tensor w;
    sqz_quant q;
    sqz_prep as_conv = *p;
    if (sqz_is_integer(p) && p->in[1]->data && p->in_q[1]) {
        SQZ_TRY(turned(p, p->attrs, &w, &q));
        in[1] = &w;
        in_q[1] = &q;
        as_conv.in = in;
        as_conv.in_q = in_q;
    }
    SQZ_TRY(sqz_conv_prepare(&as_conv, &s));
    p->state = as_conv.state;
    p->scratch_bytes = as_conv.scratch_bytes;
    return SQZ_OK;
}

/* Weights (I, taps, O/g) as the rows of the product, (O, taps, I/g), in the shared scratch. */
static sqz_status run(const sqz_call *c)
{
    const sqz_conv *v = c->state;
    const float *w = SQZ_F32P(c->in[1]);
    float *row = c->scratch;
    size_t wide = v->c_out / v->groups;
    for (size_t o = 0; o < v->c_out; o++)
        for (size_t t = 0; t < v->taps; t++)
            for (size_t i = 0; i < v->depth; i++)
                *row++ = w[place(wide, v->depth, v->taps, o, t, i)];
    return sqz_conv_run(c, c->scratch);
}

static void cost(const sqz_infer *q, sqz_cost *out)
{
    const sqz_shape *w = &q->in[1]->shape, *x = &q->in[0]->shape;
    out->kind = SQZ_COST_CONV;
    out->macs = 1; /* every input meets every weight of its channel */
    for (int32_t i = 0; i < x->rank; i++)
        out->macs *= (uint64_t)x->dim[i];
    for (int32_t i = 1; i < w->rank; i++)
        out->macs *= (uint64_t)w->dim[i];
}

/* ---- ONNX ---- */

static sqz_status bad_list(const sqz_import *im, const char *name)
{
    return sqz_fail(im->g->ctx, SQZ_E_FORMAT,
                    "%s must have one entry of sane size for each spatial axis", name);
}

/* Padding from the wanted size of the output: an odd element goes to the end with SAME_UPPER. What
 * is wanted beyond the reach of the kernel is added at the end. */
static sqz_status pads_of_shape(sqz_import *im, int32_t n, const sqz_ints *want, deconv_attrs *a)
{
    const sqz_value *x = sqz_val(im->g, im->in[0]), *w = sqz_val(im->g, im->in[1]);
    const sqz_raw_attr *mode = sqz_import_attr(im, "auto_pad");
    const bool upper = mode && mode->s && strcmp(mode->s, "SAME_UPPER") == 0;
    sqz_window_attrs open = a->window;
    sqz_window full;
    int64_t *pads = sqz_arena_alloc(&im->g->arena, 2 * (size_t)n, sizeof *pads);
    int64_t *extra = sqz_arena_alloc(&im->g->arena, (size_t)n, sizeof *extra);
    if (!pads || !extra)
        return SQZ_E_NOMEM;
    open.pads = (sqz_ints){0};
    SQZ_TRY(sqz_window_make_transposed(im->g->ctx, n, x->shape.dim + 2, w->shape.dim + 2, &open,
                                       &a->output_padding, &full));
    for (int32_t i = 0; i < n; i++) {
        int32_t at = SQZ_WINDOW_AXES - n + i;
        int64_t size = want ? want->v[i] : x->shape.dim[2 + i] * full.stride[at];
        if (size < 1 || size > INT32_MAX)
            return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "an output of %lld along spatial axis %d",
                            (long long)size, (int)i);
        int64_t total = full.out[at] - size;
        extra[i] = (a->output_padding.n ? a->output_padding.v[i] : 0) - SQZ_MIN(total, 0);
        total = SQZ_MAX(total, 0);
        pads[i] = upper ? total / 2 : total - total / 2;
        pads[n + i] = total - pads[i];
    }
    a->window.pads = (sqz_ints){2 * (uint32_t)n, pads};
    a->output_padding = (sqz_ints){(uint32_t)n, extra};
    return SQZ_OK;
}

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    deconv_attrs a = {.group = sqz_import_int(im, "group", 1)};
    SQZ_TRY(sqz_conv_import_window(im, &a.window));
    const sqz_raw_attr *extra = sqz_import_attr(im, "output_padding"),
                       *want = sqz_import_attr(im, "output_shape"),
                       *mode = sqz_import_attr(im, "auto_pad");
    int32_t n = sqz_val(im->g, im->in[0])->shape.rank - 2;
    if (extra)
        a.output_padding = extra->ints;
    if (extra && extra->ints.n != (uint32_t)n)
        return bad_list(im, "output_padding");
    const sqz_ints last = want && want->ints.n == (uint32_t)n + 2 /* with batch and channels */
                              ? (sqz_ints){(uint32_t)n, want->ints.v + 2}
                              : want ? want->ints : (sqz_ints){0};
    const sqz_ints *size = last.n ? &last : NULL;
    if (size && size->n != (uint32_t)n)
        return bad_list(im, "output_shape");
    if (size || (mode && mode->s && strncmp(mode->s, "SAME", 4) == 0))
        SQZ_TRY(pads_of_shape(im, n, size, &a));
    return sqz_import_node(im, op, &a, im->in, sqz_import_n_in(im));
}

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    sqz_conv_shape s = shape_of(p->attrs);
    return sqz_conv_grad_prepare(p, &s);
}

static void ties(sqz_ties *t) { sqz_ties_conv(t, ((const deconv_attrs *)t->attrs)->group, true); }

static const sqz_case cases[] = {
    {.attrs = "strides=2,2 pads=1,1,1,1 output_padding=1,1",
     .n_in = 3,
     .in = {{4, {1, 3, 4, 2}}, {4, {2, 3, 3, 3}}, {1, {3}}},
     .constant = 6},
    {.attrs = "group=2 dilations=2,1",
     .n_in = 2,
     .in = {{4, {2, 3, 3, 4}}, {4, {4, 2, 3, 3}}},
     .constant = 2},
    {.attrs = "strides=3", /* one dimension */
     .n_in = 3,
     .in = {{3, {1, 4, 2}}, {3, {2, 2, 3}}, {1, {3}}},
     .constant = 6},
    {.attrs = "strides=2,1,2 pads=0,1,1,0,1,0 output_padding=1,0,1", /* three */
     .n_in = 2,
     .in = {{5, {1, 2, 3, 3, 2}}, {5, {2, 3, 3, 2, 3}}},
     .constant = 2},
};

const sqz_op sqz_op_conv_transpose = {
    .info = {.name = "conv_transpose",
             .doc = "transposed convolution over one to three spatial axes",
             .opt_size = sizeof(deconv_attrs),
             .opts = attrs,
             .n_opts = SQZ_COUNT(attrs)},
    .n_in_min = 2,
    .n_in_max = 3,
    .n_out_min = 1,
    .n_out_max = 1,
    .layout = SQZ_L_CHANNELS,
    .infer = infer,
    .run = run,
    .cost = cost,
    .prepare = prepare,
    .run_int = sqz_conv_run_s8,
    .grad = sqz_conv_grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .ties = ties,
    .quant = {.kind = SQZ_Q_LINEAR, .weight = 1, .bias = 2, .channel_axis = -1},
    .onnx = {.op_type = "ConvTranspose", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
