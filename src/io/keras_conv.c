/* keras_conv.c: convolutions of one, two and three dimensions. Kernels are (k..., I, O) in the file
 * and (O, I, k...) in ONNX. */
#include "io/keras.h"
#include <string.h>

typedef struct conv {
    int n;     /* spatial dimensions */
    bool last; /* data_format */
    int64_t k[3], stride[3], dil[3];
    const char *padding;
} conv;

/* Keras 1 had an entry of its own for each size. */
static void sizes(sqz_klayer *l, conv *c)
{
    static const char *const own[] = {"nb_row|kernel_dim1|filter_length", "nb_col|kernel_dim2",
                                      "kernel_dim3"};
    if (sqz_kc_get(l->config, "kernel_size")) {
        sqz_kc_ints(l, "kernel_size", (uint32_t)c->n, 1, c->k);
        return;
    }
    for (int i = 0; i < c->n; i++)
        c->k[i] = sqz_kc_int(l, own[i], 0);
}

static conv conv_of(sqz_klayer *l, int n)
{
    conv c = {.n = n, .last = n == 1 || sqz_kc_last(l), .padding = "valid"};
    if (n == 1 && sqz_kc_get(l->config, "data_format"))
        c.last = sqz_kc_last(l);
    sizes(l, &c);
    sqz_kc_ints(l, "strides|subsample|subsample_length", (uint32_t)n, 1, c.stride);
    sqz_kc_ints(l, "dilation_rate|atrous_rate", (uint32_t)n, 1, c.dil);
    c.padding = sqz_kc_str(l, "padding|border_mode", "valid");
    for (int i = 0; i < n && l->status == SQZ_OK; i++)
        if (c.k[i] < 1 || c.stride[i] < 1 || c.dil[i] < 1)
            sqz_keras_fail(l, SQZ_E_FORMAT, "its kernel size, strides or dilation are not above 0");
    if (!sqz_kc_is("valid|same|causal", c.padding))
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "padding '%.40s' is not supported", c.padding);
    return c;
}

static sqz_vid input(sqz_klayer *l, const conv *c)
{
    sqz_vid x = c->last ? sqz_keras_first(l, l->in[0]) : sqz_keras_plain(l, l->in[0]);
    if (l->status == SQZ_OK && sqz_val(l->k->g, x)->shape.rank != c->n + 2)
        sqz_keras_fail(l, SQZ_E_FORMAT, "its input has %d axes, expected %d",
                       (int)sqz_val(l->k->g, x)->shape.rank, c->n + 2);
    return x;
}

/* ---- kernels ---- */

/* (k..., I, O) to (O, I, k...), or with `swap` to (I, O, k...). */
static void to_onnx(sqz_klayer *l, sqz_karray *a, int n, bool swap)
{
    int perm[5] = {swap ? n : n + 1, swap ? n + 1 : n, 0, 1, 2};
    sqz_karray_permute(l, a, n + 2, perm);
}

static bool has_shape(const sqz_karray *a, int32_t rank, const int64_t *dim)
{
    const sqz_shape *s = &a->num.shape;
    for (int32_t i = 0; i < rank && s->rank == rank; i++)
        if (dim[i] >= 0 && s->dim[i] != dim[i])
            return false;
    return s->rank == rank;
}

static void bad_kernel(sqz_klayer *l, sqz_karray *a)
{
    char text[160];
    if (l->status != SQZ_OK)
        return;
    sqz_shape_print(text, &a->num.shape);
    sqz_keras_fail(l, SQZ_E_FORMAT,
                   "its kernel in the file has shape %s, which does not fit its config", text);
}

/* Keras 1 stored kernels of one-dimensional convolutions with an axis of length 1, and those of
 * channels_first as (O, I, k...). Theano's are turned around in every spatial axis. Afterwards:
 * (k..., a, b). */
static void modern(sqz_klayer *l, const conv *c, int64_t filters, sqz_karray *a)
{
    const sqz_shape *s = &a->num.shape;
    if (l->status != SQZ_OK)
        return;
    if (c->n == 1 && s->rank == 4) {
        if (s->dim[0] == c->k[0] && s->dim[1] == 1 && s->dim[3] == filters) {
            sqz_karray_reshape(l, a, 3, (const int64_t[]){s->dim[0], s->dim[2], s->dim[3]});
        } else { /* older: (O, I, k, 1) */
            sqz_karray_permute(l, a, 4, (const int[]){2, 3, 1, 0});
            s = &a->num.shape;
            sqz_karray_reshape(l, a, 3,
                               (const int64_t[]){s->dim[0], s->dim[2] * s->dim[1], s->dim[3]});
        }
    } else if (l->k->version == 1 && c->n > 1 && !c->last && s->rank == c->n + 2) {
        int perm[5] = {2, 3, 4, 0, 0};
        perm[c->n] = 1;
        perm[c->n + 1] = 0;
        sqz_karray_permute(l, a, c->n + 2, perm);
    }
    const int64_t want[5] = {c->k[0], c->n > 1 ? c->k[1] : -1, c->n > 2 ? c->k[2] : -1, -1, -1};
    if (l->status == SQZ_OK && !has_shape(a, c->n + 2, want))
        bad_kernel(l, a);
    for (int32_t i = 0; i < c->n && l->k->theano; i++)
        sqz_karray_flip(l, a, i);
}

static sqz_vid bias_of(sqz_klayer *l, uint32_t slot, bool has)
{
    sqz_karray b;
    sqz_vid v;
    if (!has || sqz_keras_cached(l, &v))
        return has ? v : SQZ_NONE;
    sqz_keras_weight(l, slot, &b);
    return sqz_keras_const(l, "bias", &b);
}

/* ---- the node ---- */

/* Strides, dilations, padding; attr has room for 4. */
static unsigned window(sqz_klayer *l, const conv *c, int64_t *pads, sqz_raw_attr *attr)
{
    unsigned n = 0;
    attr[n++] = SQZ_K_INTS("strides", (uint32_t)c->n, c->stride);
    attr[n++] = SQZ_K_INTS("dilations", (uint32_t)c->n, c->dil);
    if (strcmp(c->padding, "same") == 0) {
        attr[n++] = SQZ_K_TEXT("auto_pad", "SAME_UPPER");
    } else if (strcmp(c->padding, "causal") == 0) {
        if (c->n != 1)
            sqz_keras_fail(l, SQZ_E_FORMAT, "causal padding is for one dimension");
        pads[0] = (c->k[0] - 1) * c->dil[0];
        pads[1] = 0;
        attr[n++] = SQZ_K_INTS("pads", 2, pads);
    }
    return n;
}

static sqz_vid conv_node(sqz_klayer *l, const conv *c, const char *suffix, int64_t group, sqz_vid x,
                         sqz_vid w, sqz_vid b)
{
    sqz_raw_attr attr[5];
    int64_t pads[2];
    unsigned n = window(l, c, pads, attr);
    if (group != 1)
        attr[n++] = SQZ_K_INT("group", group);
    return sqz_keras_node(l, "Conv", suffix, attr, n, SQZ_KI(x, w, b));
}

static sqz_status finish(sqz_klayer *l, const conv *c, sqz_vid y)
{
    y = sqz_keras_activate(l, sqz_kc_get(l->config, "activation"), y, c->last);
    sqz_keras_out(l, y, c->last);
    return l->status;
}

static bool use_bias(sqz_klayer *l) { return sqz_kc_bool(l, "use_bias|bias", true); }

static sqz_status plain_conv(sqz_klayer *l)
{
    conv c = conv_of(l, l->cls->arg);
    bool bias = use_bias(l);
    int64_t group = sqz_kc_int(l, "groups", 1), filters = sqz_kc_int(l, "filters|nb_filter", 0);
    sqz_vid x = input(l, &c), w;
    sqz_karray a;
    if (!sqz_keras_expect(l, 1 + (uint32_t)bias))
        return l->status;
    if (!sqz_keras_cached(l, &w)) {
        sqz_keras_weight(l, 0, &a);
        modern(l, &c, filters, &a);
        to_onnx(l, &a, c.n, false);
        w = sqz_keras_const(l, "kernel", &a);
    }
    return finish(l, &c, conv_node(l, &c, NULL, group, x, w, bias_of(l, 1, bias)));
}

/* (k..., C, M) to (C * M, 1, k...): output c * M + m reads input c. */
static sqz_vid depthwise_kernel(sqz_klayer *l, const conv *c)
{
    sqz_karray a;
    sqz_vid w;
    if (sqz_keras_cached(l, &w))
        return w;
    sqz_keras_weight(l, 0, &a);
    const int64_t want[5] = {c->k[0], c->n > 1 ? c->k[1] : -1, -1, -1};
    if (l->status == SQZ_OK && !has_shape(&a, c->n + 2, want))
        bad_kernel(l, &a);
    to_onnx(l, &a, c->n, true);
    if (l->status == SQZ_OK) {
        const sqz_shape *s = &a.num.shape;
        const int64_t dim[4] = {s->dim[0] * s->dim[1], 1, s->dim[2], c->n > 1 ? s->dim[3] : 1};
        sqz_karray_reshape(l, &a, c->n + 2, dim);
    }
    return sqz_keras_const(l, "depthwise_kernel", &a);
}

static int64_t channels(const sqz_klayer *l, sqz_vid x)
{
    return l->status == SQZ_OK && x != SQZ_NONE ? sqz_val(l->k->g, x)->shape.dim[1] : 1;
}

static sqz_status depthwise(sqz_klayer *l)
{
    conv c = conv_of(l, l->cls->arg);
    bool bias = use_bias(l);
    sqz_vid x = input(l, &c);
    if (!sqz_keras_expect(l, 1 + (uint32_t)bias))
        return l->status;
    sqz_vid w = depthwise_kernel(l, &c);
    return finish(l, &c, conv_node(l, &c, NULL, channels(l, x), x, w, bias_of(l, 1, bias)));
}

/* A depthwise convolution, then one of kernel 1. */
static sqz_status separable(sqz_klayer *l)
{
    conv c = conv_of(l, l->cls->arg), one = {.n = c.n, .last = c.last, .padding = "valid"};
    bool bias = use_bias(l);
    sqz_vid x = input(l, &c), w;
    sqz_karray a;
    if (l->k->version == 1 && !c.last)
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED,
                       "channels_first of Keras 1 is not supported: load and save it with Keras 2");
    if (!sqz_keras_expect(l, 2 + (uint32_t)bias))
        return l->status;
    for (int i = 0; i < c.n; i++)
        one.k[i] = one.stride[i] = one.dil[i] = 1;
    sqz_vid y = conv_node(l, &c, "depthwise", channels(l, x), x, depthwise_kernel(l, &c), SQZ_NONE);
    if (!sqz_keras_cached(l, &w)) {
        sqz_keras_weight(l, 1, &a);
        if (l->status == SQZ_OK &&
            !has_shape(&a, c.n + 2, (const int64_t[]){1, c.n > 1 ? 1 : -1, -1, -1}))
            bad_kernel(l, &a);
        to_onnx(l, &a, c.n, false);
        w = sqz_keras_const(l, "pointwise_kernel", &a);
    }
    return finish(l, &c, conv_node(l, &one, NULL, 1, y, w, bias_of(l, 2, bias)));
}

/* ---- transposed ---- */

/* TensorFlow gives the gradient of a convolution whose input would have the size `out`: padding at
 * the begin is that convolution's. What is missing at the end is output_padding. */
static void deconv_pads(sqz_klayer *l, const conv *c, const int64_t *extra, const int64_t *in,
                        int64_t *pads, int64_t *more)
{
    bool same = strcmp(c->padding, "same") == 0;
    for (int i = 0; i < c->n; i++) {
        int64_t k = c->dil[i] * (c->k[i] - 1) + 1, s = c->stride[i];
        int64_t full = (in[i] - 1) * s + k;
        int64_t out = extra  ? (in[i] - 1) * s + k - (same ? 2 * (k / 2) : 0) + extra[i]
                      : same ? in[i] * s
                             : in[i] * s + SQZ_MAX(k - s, 0);
        int64_t begin = same ? SQZ_MAX((in[i] - 1) * s + k - out, 0) / 2 : 0;
        int64_t end = full - out - begin;
        if (out < 1 || (same && (out + s - 1) / s != in[i]))
            sqz_keras_fail(l, SQZ_E_FORMAT, "its output_padding does not fit its strides");
        pads[i] = begin;
        pads[c->n + i] = SQZ_MAX(end, 0);
        more[i] = SQZ_MAX(-end, 0);
    }
}

static sqz_status transposed(sqz_klayer *l)
{
    conv c = conv_of(l, l->cls->arg);
    bool bias = use_bias(l), extra = sqz_kc_get(l->config, "output_padding") != NULL;
    int64_t add[3], pads[6], more[3];
    sqz_vid x = input(l, &c), w;
    sqz_karray a;
    sqz_kc_ints(l, "output_padding", (uint32_t)c.n, 0, add);
    if (strcmp(c.padding, "causal") == 0)
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "padding 'causal' is not supported");
    if (!sqz_keras_expect(l, 1 + (uint32_t)bias))
        return l->status;
    deconv_pads(l, &c, extra ? add : NULL, sqz_val(l->k->g, x)->shape.dim + 2, pads, more);
    if (!sqz_keras_cached(l, &w)) { /* (k..., O, I) */
        sqz_keras_weight(l, 0, &a);
        if (l->status == SQZ_OK && l->k->version == 1 && c.last && a.num.shape.rank == c.n + 2)
            sqz_karray_permute(l, &a, c.n + 2,
                               c.n == 1 ? (const int[]){0, 2, 1} : (const int[]){0, 1, 3, 2});
        modern(l, &c, 0, &a);
        to_onnx(l, &a, c.n, false);
        w = sqz_keras_const(l, "kernel", &a);
    }
    const sqz_raw_attr attr[] = {SQZ_K_INTS("strides", (uint32_t)c.n, c.stride),
                                 SQZ_K_INTS("dilations", (uint32_t)c.n, c.dil),
                                 SQZ_K_INTS("pads", 2 * (uint32_t)c.n, pads),
                                 SQZ_K_INTS("output_padding", (uint32_t)c.n, more)};
    return finish(l, &c,
                  sqz_keras_node(l, "ConvTranspose", NULL, attr, SQZ_COUNT(attr),
                                 SQZ_KI(x, w, bias_of(l, 1, bias))));
}

static const sqz_kclass classes[] = {
    {"Conv1D|Convolution1D|AtrousConvolution1D", plain_conv, 1, SQZ_K_MASK_DROP},
    {"Conv2D|Convolution2D|AtrousConvolution2D|AtrousConv2D", plain_conv, 2, SQZ_K_MASK_DROP},
    {"Conv3D|Convolution3D", plain_conv, 3, SQZ_K_MASK_DROP},
    {"DepthwiseConv1D", depthwise, 1, SQZ_K_MASK_DROP},
    {"DepthwiseConv2D|DepthwiseConvolution2D", depthwise, 2, SQZ_K_MASK_DROP},
    {"SeparableConv1D|SeparableConvolution1D", separable, 1, SQZ_K_MASK_DROP},
    {"SeparableConv2D|SeparableConvolution2D", separable, 2, SQZ_K_MASK_DROP},
    {"Conv1DTranspose|Convolution1DTranspose", transposed, 1, SQZ_K_MASK_DROP},
    {"Conv2DTranspose|Convolution2DTranspose|Deconvolution2D|Deconv2D", transposed, 2,
     SQZ_K_MASK_DROP},
    {"Conv3DTranspose|Convolution3DTranspose|Deconvolution3D", transposed, 3, SQZ_K_MASK_DROP},
};
const sqz_kclasses sqz_keras_conv = {classes, SQZ_COUNT(classes)};
