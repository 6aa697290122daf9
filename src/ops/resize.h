/* resize.h: what the resizing operators share: attributes, shapes, where an output coordinate lies
 * in the input, import and export of ONNX Resize and Upsample. */
#ifndef SQZ_RESIZE_H
#define SQZ_RESIZE_H
#include "ops/ew.h"
#include "ops/move.h"

typedef enum sqz_resize_coord {
    SQZ_RESIZE_HALF_PIXEL,
    SQZ_RESIZE_PYTORCH_HALF_PIXEL,
    SQZ_RESIZE_ALIGN_CORNERS,
    SQZ_RESIZE_ASYMMETRIC,
    SQZ_RESIZE_HALF_PIXEL_SYMMETRIC,
    SQZ_RESIZE_CROP,
    SQZ_RESIZE_TF_NEAREST,
    SQZ_N_RESIZE_COORD
} sqz_resize_coord;
typedef enum sqz_resize_near {
    SQZ_NEAR_PREFER_FLOOR,
    SQZ_NEAR_PREFER_CEIL,
    SQZ_NEAR_FLOOR,
    SQZ_NEAR_CEIL
} sqz_resize_near;
typedef enum sqz_resize_policy {
    SQZ_RESIZE_STRETCH,
    SQZ_RESIZE_NOT_LARGER, /* one scale for all axes that have a size: the smallest */
    SQZ_RESIZE_NOT_SMALLER
} sqz_resize_policy;
typedef enum sqz_resize_mode { SQZ_RESIZE_LINEAR, SQZ_RESIZE_CUBIC } sqz_resize_mode;

typedef struct sqz_resize_attrs {
    sqz_floats scales; /* one for each axis, or empty */
    sqz_ints sizes;    /* one for each axis, 0: as in the input; or empty */
    sqz_floats roi;    /* with SQZ_RESIZE_CROP: begins of all axes, then ends; 0 .. 1 is all */
    int64_t coord, policy;
    double extrapolation; /* with SQZ_RESIZE_CROP: what lies outside of the input */
    int64_t near;         /* resize_nearest only */
    int64_t mode, exclude_outside, antialias; /* resize only */
    double cubic_a;
} sqz_resize_attrs;
#define SQZ_RESIZE_ROWS                                                                            \
    {.name = "scales",                                                                             \
     .offset = offsetof(sqz_resize_attrs, scales),                                                 \
     .type = SQZ_A_FLOATS,                                                                         \
     .max = 0x1p31,                                                                                \
     .flags = SQZ_AF_PER_AXIS,                                                                     \
     .doc = "output length / input length of each axis"},                                          \
        {.name = "sizes",                                                                          \
         .offset = offsetof(sqz_resize_attrs, sizes),                                              \
         .type = SQZ_A_INTS,                                                                       \
         .max = INT32_MAX,                                                                         \
         .flags = SQZ_AF_PER_AXIS,                                                                 \
         .doc = "output length of each axis, 0: as the input"},                                    \
        {.name = "keep_aspect_ratio_policy",                                                       \
         .offset = offsetof(sqz_resize_attrs, policy),                                             \
         .type = SQZ_A_ENUM,                                                                       \
         .max = SQZ_RESIZE_NOT_SMALLER,                                                            \
         .names = "stretch|not_larger|not_smaller",                                                \
         .doc = "whether all axes get one scale, which no size exceeds or falls short of"},        \
    {                                                                                              \
        .name = "coordinate_transformation_mode", .offset = offsetof(sqz_resize_attrs, coord),     \
        .type = SQZ_A_ENUM, .max = SQZ_N_RESIZE_COORD - 1,                                         \
        .names = "half_pixel|pytorch_half_pixel|align_corners|asymmetric|half_pixel_symmetric|"    \
                 "tf_crop_and_resize|tf_half_pixel_for_nn",                                        \
        .doc = "which input coordinate an output coordinate means"                                 \
    }
/* For the operators that can crop. */
#define SQZ_RESIZE_CROP_ROWS                                                                       \
    {.name = "roi",                                                                                \
     .offset = offsetof(sqz_resize_attrs, roi),                                                    \
     .type = SQZ_A_FLOATS,                                                                         \
     .flags = SQZ_AF_PER_AXIS2,                                                                    \
     .doc = "part of the input that is resized: begins of all axes, then ends, 0 to 1 is all"},    \
    {                                                                                              \
        .name = "extrapolation_value", .offset = offsetof(sqz_resize_attrs, extrapolation),        \
        .type = SQZ_A_FLOAT, .doc = "what lies outside of the input"                               \
    }

/* One axis: how long, by which factor, and which part of it. */
typedef struct sqz_resize_axis {
    int64_t in, out;
    float scale;      /* may differ from out / in, which is rounded */
    float begin, end; /* of SQZ_RESIZE_CROP */
} sqz_resize_axis;
/* Axes of an input of shape x, or a sentence about what does not fit. */
sqz_status sqz_resize_axes(sqz_ctx *ctx, const sqz_resize_attrs *at, const sqz_shape *x,
                           sqz_resize_axis axis[SQZ_MAX_RANK]);
sqz_status sqz_resize_infer(sqz_infer *q);
/* Axes that keep their length go through. */
void sqz_resize_ties(sqz_ties *t);
sqz_status sqz_resize_recut(sqz_recut *c);
/* Coordinate in the input of output coordinate i. */
float sqz_resize_source(const sqz_resize_attrs *at, const sqz_resize_axis *a, int64_t i);
/* Whether that lies outside of the input and becomes the extrapolation value. */
static inline bool sqz_resize_outside(const sqz_resize_attrs *at, const sqz_resize_axis *a, float x)
{
    return at->coord == SQZ_RESIZE_CROP && !(x >= 0 && x <= (float)(a->in - 1));
}
/* All of them read Resize and Upsample and pick the one that the attributes mean. */
sqz_status sqz_resize_import(sqz_import *im, const sqz_op *op);
sqz_status sqz_resize_write(sqz_export *e, const char *mode);
#endif
