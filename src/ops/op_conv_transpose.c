/* conv_transpose: the gradient of a convolution as a layer: x (N,H,W,I), w (I,Kh,Kw,O/group),
 * b (O) -> y (N,H',W',O), H' = stride*(H-1) + output_padding + dilation*(Kh-1) + 1 - pads; also
 * over one or three spatial axes. Each output gathers the inputs that reach it, so that chunks of
 * outputs are independent. */
#include "ops/conv.h"
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

static sqz_status prepare(sqz_prep *p)
{
    sqz_conv_shape s = shape_of(p->attrs);
    return sqz_conv_prepare(p, &s);
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
                *row++ = w[((o / wide * v->depth + i) * v->taps + t) * wide + o % wide];
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
    .quant = {.kind = SQZ_Q_FLOAT},
    .onnx = {.op_type = "ConvTranspose", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
