/* conv2d: x (N,H,W,I), w (O,Kh,Kw,I/group), b (O) -> y (N,H',W',O); also (N,W,I) with w (O,Kw,I)
 * and (N,D,H,W,I) with w (O,Kd,Kh,Kw,I). */
#include "ops/conv.h"
#include "ops/ties.h"

typedef struct conv_attrs {
    sqz_window_attrs window;
    int64_t group;
} conv_attrs;
static const sqz_attr attrs[] = {
    SQZ_WINDOW_ROWS(conv_attrs, window),
    {.name = "group",
     .offset = offsetof(conv_attrs, group),
     .type = SQZ_A_INT,
     .def = 1,
     .min = 1,
     .max = INT32_MAX,
     .doc = "channels are split into so many independent convolutions"},
};

static sqz_conv_shape shape_of(const void *at)
{
    const conv_attrs *a = at;
    return (sqz_conv_shape){.attrs = &a->window, .group = a->group};
}

static sqz_status infer(sqz_infer *q)
{
    sqz_conv_shape s = shape_of(q->attrs);
    return sqz_conv_infer(q, &s);
}

static sqz_status prepare(sqz_prep *p)
{
    sqz_conv_shape s = shape_of(p->attrs);
    return sqz_is_integer(p) ? sqz_conv_prepare(p, &s) : sqz_conv_f32_prepare(p, &s);
}

/* One channel in each group is a depthwise convolution, unless there is only one channel. */
static sqz_status import(sqz_import *im, const sqz_op *op)
{
    conv_attrs a = {.group = sqz_import_int(im, "group", 1)};
    SQZ_TRY(sqz_conv_import_window(im, &a.window));
    const sqz_shape *x = &sqz_val(im->g, im->in[0])->shape, *w = &sqz_val(im->g, im->in[1])->shape;
    bool depthwise = a.group == x->dim[1] && a.group > 1 && w->dim[1] == 1;
    return sqz_import_node(im, depthwise ? &sqz_op_dwconv2d : op,
                           depthwise ? (const void *)&a.window : &a, im->in, sqz_import_n_in(im));
}

static sqz_status grad_prepare(sqz_grad_prep *p)
{
    sqz_conv_shape s = shape_of(p->attrs);
    return sqz_conv_grad_prepare(p, &s);
}

static void ties(sqz_ties *t) { sqz_ties_conv(t, ((const conv_attrs *)t->attrs)->group, false); }

static const sqz_case cases[] = {
    {.attrs = "pads=1,1,1,1",
     .n_in = 3,
     .in = {{4, {2, 5, 4, 3}}, {4, {4, 3, 3, 3}}, {1, {4}}},
     .constant = 6},
    {.attrs = "strides=2,1 pads=0,1,1,0",
     .n_in = 2,
     .in = {{4, {1, 6, 5, 2}}, {4, {3, 2, 2, 2}}},
     .constant = 2},
    {.attrs = "group=2 dilations=1,2",
     .n_in = 3,
     .in = {{4, {1, 4, 6, 4}}, {4, {6, 3, 2, 2}}, {1, {6}}},
     .constant = 6},
    {.attrs = "", /* pointwise */
     .n_in = 3,
     .in = {{4, {2, 3, 3, 8}}, {4, {5, 1, 1, 8}}, {1, {5}}},
     .constant = 6},
    {.attrs = "strides=2 pads=1,1", /* one dimension */
     .n_in = 3,
     .in = {{3, {2, 9, 3}}, {3, {4, 3, 3}}, {1, {4}}},
     .constant = 6},
    {.attrs = "strides=1,2,1 pads=1,0,1,0,1,1 dilations=2,1,1", /* three */
     .n_in = 3,
     .in = {{5, {1, 4, 5, 4, 3}}, {5, {4, 2, 3, 2, 3}}, {1, {4}}},
     .constant = 6},
    {.attrs = "pads=1,1,1,1", /* large enough for Winograd's form */
     .n_in = 3,
     .in = {{4, {2, 12, 11, 16}}, {4, {20, 3, 3, 16}}, {1, {20}}},
     .constant = 6},
    {.attrs = "pads=1,1,1,1", /* weights that another node computes */
     .n_in = 2,
     .in = {{4, {1, 4, 4, 3}}, {4, {4, 3, 3, 3}}}},
};

const sqz_op sqz_op_conv2d = {
    .info = {.name = "conv2d",
             .doc = "convolution over one to three spatial axes",
             .opt_size = sizeof(conv_attrs),
             .opts = attrs,
             .n_opts = SQZ_COUNT(attrs)},
    .n_in_min = 2,
    .n_in_max = 3,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_FUSES,
    .layout = SQZ_L_CHANNELS,
    .infer = infer,
    .run = sqz_conv_f32_run,
    .cost = sqz_conv_cost,
    .prepare = prepare,
    .run_int = sqz_conv_run_s8,
    .grad = sqz_conv_grad,
    .grad_prepare = grad_prepare,
    .grad_reads = SQZ_GRAD_IN0 | SQZ_GRAD_IN1,
    .ties = ties,
    .quant = {.kind = SQZ_Q_LINEAR, .weight = 1, .bias = 2, .channel_axis = 0},
    .onnx = {.op_type = "Conv", .since = 1, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
