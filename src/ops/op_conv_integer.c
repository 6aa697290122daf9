/* conv_integer: y = sum over taps and channels of (x - zx) * (w - zw) on int8 or uint8 codes, in 32
 * bits; x (N,H,W,I), w (O,Kh,Kw,I/group). zx is one number, zw one or one for each output. Padding
 * counts as zx. */
#include "ops/conv.h"

#define AXES SQZ_COUNT(((sqz_window *)0)->in)

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

static sqz_status check_codes(const sqz_infer *q)
{
    for (unsigned i = 0; i < 2; i++) {
        const sqz_value *x = q->in[i], *z = i + 2 < q->n_in ? q->in[i + 2] : NULL;
        if (x->dtype != SQZ_S8 && x->dtype != SQZ_U8)
            return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "input %u is %s, expected 8-bit integers", i,
                            sqz_dtype_name(x->dtype));
        if (!z)
            continue;
        int64_t n = z->shape.rank == 1 ? z->shape.dim[0] : 1;
        if (z->dtype != x->dtype || z->shape.rank > 1 ||
            (n != 1 && (i == 0 || n != x->shape.dim[0])))
            return sqz_fail(q->ctx, SQZ_E_SHAPE,
                            "zero point %u fits its operand neither in type nor shape", i + 2);
    }
    return SQZ_OK;
}

/* Shapes are those of a float convolution. */
static sqz_status infer(sqz_infer *q)
{
    sqz_conv_shape s = shape_of(q->attrs);
    SQZ_TRY(check_codes(q));
    sqz_value x = *q->in[0], w = *q->in[1];
    x.dtype = w.dtype = SQZ_F32;
    const sqz_value *in[2] = {&x, &w};
    sqz_infer f = *q;
    f.in = in;
    f.n_in = 2;
    q->out_dtype[0] = SQZ_S32;
    return sqz_conv_infer(&f, &s);
}

static sqz_status prepare(sqz_prep *p)
{
    sqz_conv_shape s = shape_of(p->attrs);
    sqz_conv *v = sqz_arena_alloc(p->arena, 1, sizeof *v);
    p->state = v;
    return v ? sqz_conv_geometry(p, &s, v) : SQZ_E_NOMEM;
}

/* ---- run ---- */

static int32_t code(const sqz_tensor *t, size_t i)
{
    return t->dtype == SQZ_U8 ? ((const uint8_t *)t->data)[i] : ((const int8_t *)t->data)[i];
}

static int32_t zero_of(const sqz_tensor *z, size_t i)
{
    return z ? code(z, z->count == 1 ? 0 : i) : 0;
}

/* n products, modulo 2^32 */
static uint32_t dot(const sqz_tensor *x, size_t at, int32_t zx, const sqz_tensor *w, size_t wat,
                    int32_t zw, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (uint32_t)((code(x, at + i) - zx) * (code(w, wat + i) - zw));
    return sum;
}

/* Output pixel `i` of channel `o`: over the taps inside the image, by an odometer of all axes. */
static uint32_t pixel(const sqz_call *c, const sqz_conv *v, size_t i, size_t o)
{
    const sqz_window *w = &v->w;
    const sqz_tensor *x = c->in[0], *k = c->in[1];
    const int32_t zx = zero_of(c->n_in > 2 ? c->in[2] : NULL, 0);
    const int32_t zw = zero_of(c->n_in > 3 ? c->in[3] : NULL, o);
    const size_t group = o / (v->c_out / v->groups);
    int64_t at[AXES], t[AXES] = {0};
    uint32_t sum = 0;
    for (size_t a = AXES; a-- > 0; i /= (size_t)w->out[a])
        at[a] = (int64_t)(i % (size_t)w->out[a]);
    for (size_t tap = 0; tap < v->taps; tap++) {
        size_t from = i; /* the sample, by now */
        bool inside = true;
        for (size_t a = 0; a < AXES; a++) {
            int64_t p = at[a] * w->stride[a] - w->begin[a] + t[a] * w->dil[a];
            inside = inside && p >= 0 && p < w->in[a];
            from = from * (size_t)w->in[a] + (size_t)p;
        }
        if (inside)
            sum += dot(x, from * v->c_in + group * v->depth, zx, k, (o * v->taps + tap) * v->depth,
                       zw, v->depth);
        for (size_t a = AXES; a-- > 0;) {
            if (++t[a] < w->k[a])
                break;
            t[a] = 0;
        }
    }
    return sum;
}

static sqz_status piece(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    const sqz_conv *v = c->state;
    uint32_t *y = c->out[0]->data;
    for (size_t i = begin; i < end; i++)
        for (size_t o = 0; o < v->c_out; o++)
            y[i * v->c_out + o] = pixel(c, v, i, o);
    return SQZ_OK;
}

static sqz_status run(const sqz_call *c)
{
    sqz_call call = *c;
    const sqz_conv *v = c->state;
    return sqz_parallel(c->ctx, v->pixels, 65536 / SQZ_MAX(v->k * v->c_out, 1) + 1, piece, &call);
}

/* ---- ONNX ---- */

static sqz_status import(sqz_import *im, const sqz_op *op)
{
    conv_attrs a = {.group = sqz_import_int(im, "group", 1)};
    SQZ_TRY(sqz_conv_import_window(im, &a.window));
    return sqz_import_node(im, op, &a, im->in, sqz_import_n_in(im));
}

static const sqz_case cases[] = {
    {.attrs = "pads=1,1,1,1",
     .n_in = 3,
     .in = {{4, {2, 5, 4, 3}}, {4, {4, 3, 3, 3}}, {0}},
     .constant = 6,
     .lo = 0,
     .hi = 255,
     .dtype = {SQZ_U8, SQZ_U8, SQZ_U8}},
    {.attrs = "group=2 strides=2,1 dilations=1,2",
     .n_in = 4,
     .in = {{4, {1, 5, 6, 4}}, {4, {6, 3, 2, 2}}, {0}, {1, {6}}},
     .constant = 14,
     .lo = -9,
     .hi = 9,
     .dtype = {SQZ_S8, SQZ_S8, SQZ_S8, SQZ_S8}},
};

const sqz_op sqz_op_conv_integer = {
    .info = {.name = "conv_integer",
             .doc = "convolution of 8-bit codes minus their zero points",
             .opt_size = sizeof(conv_attrs),
             .opts = attrs,
             .n_opts = SQZ_COUNT(attrs)},
    .n_in_min = 2,
    .n_in_max = 4,
    .n_out_min = 1,
    .n_out_max = 1,
    .traits = SQZ_T_TYPES,
    .layout = SQZ_L_CHANNELS,
    .infer = infer,
    .run = run,
    .cost = sqz_conv_cost,
    .prepare = prepare,
    .no_grad = "it works on integers",
    .onnx = {.op_type = "ConvInteger", .since = 10, .import = import},
    .cases = cases,
    .n_cases = SQZ_COUNT(cases),
};
