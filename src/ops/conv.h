/* conv.h: what conv2d, dwconv2d and conv_transpose share. Channel-last, weights
 * (O, Kh, Kw, I/groups), for conv_transpose (I, Kh, Kw, O/groups), with three spatial dimensions
 * (O, Kd, Kh, Kw, I/groups). */
#ifndef SQZ_CONV_H
#define SQZ_CONV_H
#include "ops/linear.h"
#include "ops/window.h"

extern const sqz_op sqz_op_dwconv2d;

typedef struct sqz_conv { /* one node with its shapes */
    sqz_window w;
    bool transposed;
    bool pointwise; /* 1x1, stride 1, no padding: the input is the matrix */
    size_t pixels;  /* outputs: batch * depth * height * width */
    size_t c_in, c_out, groups;
    size_t depth;    /* input channels of a group */
    size_t taps, k;  /* kernel size; taps * depth */
    size_t grain;    /* output pixels of a chunk */
    size_t each;     /* scratch bytes of a worker */
    size_t shared;   /* scratch bytes before those of the workers */
    sqz_linear *lin; /* NULL: float */
} sqz_conv;

/* Output shape from x, the kernel and the window; group 0 means depthwise. For a transposed
 * convolution `extra` is the output padding, else NULL. */
typedef struct sqz_conv_shape {
    const sqz_window_attrs *attrs;
    const sqz_ints *extra;
    int64_t group;
    bool gradient; /* of a gradient: no threshold reads the result, so Winograd's largest tiles may
                      make it where weights are no constants */
} sqz_conv_shape;
sqz_status sqz_conv_infer(sqz_infer *q, const sqz_conv_shape *s);
void sqz_conv_cost(const sqz_infer *q, sqz_cost *out);
/* Geometry from the tensors of a prepared node (channel-last); grain, each and lin are left. */
sqz_status sqz_conv_geometry(const sqz_prep *p, const sqz_conv_shape *s, sqz_conv *v);

/* The convolution as a matrix product, in chunks of output pixels. */
sqz_status sqz_conv_prepare(sqz_prep *p, const sqz_conv_shape *s);
sqz_status sqz_conv_run(const sqz_call *c, const float *weights);
/* Rows of v->k numbers under output pixels begin .. end-1 of one group (im2col). */
void sqz_conv_gather(const sqz_conv *v, const float *x, size_t group, size_t begin, size_t end,
                     float *rows);
/* Gradients (conv_grad.c), as the columns of an operator. */
sqz_status sqz_conv_grad_prepare(sqz_grad_prep *p, const sqz_conv_shape *s);
sqz_status sqz_conv_grad(const sqz_grad_call *c);
/* The same on integers (conv_s8.c): with a state of its own. */
sqz_status sqz_conv_prepare_s8(sqz_prep *p, const sqz_conv_shape *s);
sqz_status sqz_conv_run_s8(const sqz_call *c);

/* Float, with what is fused (conv_f32.c). */
sqz_status sqz_conv_f32_prepare(sqz_prep *p, const sqz_conv_shape *s);
sqz_status sqz_conv_f32_run(const sqz_call *c);

/* Sample, plane, row and column of output pixel i. */
typedef struct sqz_pixel {
    size_t n;
    int64_t z, y, x;
} sqz_pixel;
static inline sqz_pixel sqz_pixel_at(const sqz_window *w, size_t i)
{
    size_t width = (size_t)w->out[SQZ_AXIS_W], height = (size_t)w->out[SQZ_AXIS_H];
    size_t row = i / width, plane = row / height, depth = (size_t)w->out[SQZ_AXIS_D];
    return (sqz_pixel){plane / depth, (int64_t)(plane % depth), (int64_t)(row % height),
                       (int64_t)(i % width)};
}
/* Import: kernel sizes of weight `slot` (file layout) checked against kernel_shape. */
sqz_status sqz_conv_import_window(sqz_import *im, sqz_window_attrs *out);
/* Inputs without absent ones at the end. */
unsigned sqz_import_n_in(const sqz_import *im);
#endif
