/* window.h: the arithmetic that convolutions and pools share: kernel, strides, dilations, padding
 * and the size of the output. One spatial dimension (W) runs as three with D = H = 1, two (H, W)
 * with D = 1. */
#ifndef SQZ_WINDOW_H
#define SQZ_WINDOW_H
#include "ir/op.h"
#include <limits.h>

/* Attributes as ONNX names them; put this struct into the operator's option struct and
 * SQZ_WINDOW_ROWS(owner, member) into its schema. An empty list means all ones (strides, dilations)
 * or zeros (pads: all begins, then all ends). Padding is explicit: auto_pad ends at import. */
typedef struct sqz_window_attrs {
    sqz_ints strides, pads, dilations;
} sqz_window_attrs;
#define SQZ_WINDOW_ROWS(owner, member)                                                             \
    {.name = "strides",                                                                            \
     .offset = offsetof(owner, member.strides),                                                    \
     .type = SQZ_A_INTS,                                                                           \
     .min = 1,                                                                                     \
     .max = INT32_MAX,                                                                             \
     .doc = "step of the window along each spatial axis"},                                         \
        {.name = "pads",                                                                           \
         .offset = offsetof(owner, member.pads),                                                   \
         .type = SQZ_A_INTS,                                                                       \
         .min = 0,                                                                                 \
         .max = INT32_MAX,                                                                         \
         .doc = "padding: begins of all spatial axes, then ends"},                                 \
    {                                                                                              \
        .name = "dilations", .offset = offsetof(owner, member.dilations), .type = SQZ_A_INTS,      \
        .min = 1, .max = INT32_MAX, .doc = "distance of two taps along each spatial axis"          \
    }

#define SQZ_WINDOW_AXES 3
enum { SQZ_AXIS_D, SQZ_AXIS_H, SQZ_AXIS_W };
/* Everything by axis D, H, W; those that an operator of fewer dimensions lacks have size 1. All fit
 * int32_t. */
typedef struct sqz_window {
    int64_t in[SQZ_WINDOW_AXES], out[SQZ_WINDOW_AXES], k[SQZ_WINDOW_AXES];
    int64_t stride[SQZ_WINDOW_AXES], dil[SQZ_WINDOW_AXES];
    int64_t begin[SQZ_WINDOW_AXES], end[SQZ_WINDOW_AXES]; /* padding */
} sqz_window;

/* `n` spatial dimensions (1 to 3) of sizes in[] under a kernel k[]. Fails with a sentence when the
 * lists do not fit or no window fits. ceil_mode as in ONNX pools: a last window may stick out at
 * the end, if it starts inside the input or the padding before it. */
sqz_status sqz_window_make(sqz_ctx *ctx, int32_t n, const int64_t *in, const int64_t *k,
                           const sqz_window_attrs *at, bool ceil_mode, sqz_window *w);
/* The same for a transposed convolution: out = stride * (in - 1) + output_padding +
 * dil * (k - 1) + 1 - begin - end. Here `in` and `out` of the window are those of the operator. */
sqz_status sqz_window_make_transposed(sqz_ctx *ctx, int32_t n, const int64_t *in, const int64_t *k,
                                      const sqz_window_attrs *at, const sqz_ints *output_padding,
                                      sqz_window *w);
/* Spatial dimensions of x (rank - 2), or an error when they are not 1 to 3. */
sqz_status sqz_window_rank(sqz_ctx *ctx, const sqz_shape *x, int32_t *n);

/* Import: strides, dilations, pads and auto_pad of a node whose input 0 is in the file's layout,
 * with the kernel's spatial sizes k[]. The lists get one entry for each axis, from the graph's
 * arena, with auto_pad resolved to explicit pads. */
sqz_status sqz_window_import(sqz_import *im, int32_t n, const int64_t *k, sqz_window_attrs *out);
/* SAME_UPPER / SAME_LOWER: ceil(in / stride) outputs; an odd pixel of padding goes to the end
 * (UPPER) or the begin (LOWER). */
void sqz_window_same(int64_t in, int64_t k, int64_t stride, int64_t dil, bool upper, int64_t *begin,
                     int64_t *end);

/* Sizes of the whole image, output and kernel. They were checked to fit. */
static inline size_t sqz_volume(const int64_t size[SQZ_WINDOW_AXES])
{
    return (size_t)size[0] * (size_t)size[1] * (size_t)size[2];
}
/* Input index of tap t for output index o along one axis; may lie in the padding. */
static inline int64_t sqz_window_input(const sqz_window *w, int axis, int64_t o, int64_t t)
{
    return o * w->stride[axis] - w->begin[axis] + t * w->dil[axis];
}
/* Taps t in [*lo, *hi) of the k along one axis fall inside the image for output index o: they read
 * input o * stride - begin + t * dil. Empty: *lo == *hi. */
static inline void sqz_window_taps(const sqz_window *w, int axis, int64_t o, int64_t *lo,
                                   int64_t *hi)
{
    int64_t at = o * w->stride[axis] - w->begin[axis], d = w->dil[axis], room = w->in[axis] - at;
    int64_t first = at >= 0 ? 0 : (-at + d - 1) / d, last = room <= 0 ? 0 : (room + d - 1) / d;
    *lo = SQZ_MIN(first, w->k[axis]);
    *hi = SQZ_MAX(SQZ_MIN(last, w->k[axis]), *lo);
}
#endif
