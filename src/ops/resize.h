/* resize.h: what the two resizing operators share: attributes, shapes, where an output coordinate
 * lies in the input, import and export of ONNX Resize and Upsample. Only spatial axes change. */
#ifndef SQZ_RESIZE_H
#define SQZ_RESIZE_H
#include "ops/ew.h"
#include "ops/move.h"

typedef enum sqz_resize_coord {
    SQZ_RESIZE_HALF_PIXEL,
    SQZ_RESIZE_PYTORCH_HALF_PIXEL,
    SQZ_RESIZE_ALIGN_CORNERS,
    SQZ_RESIZE_ASYMMETRIC,
    SQZ_RESIZE_HALF_PIXEL_SYMMETRIC
} sqz_resize_coord;
typedef enum sqz_resize_near {
    SQZ_NEAR_PREFER_FLOOR,
    SQZ_NEAR_PREFER_CEIL,
    SQZ_NEAR_FLOOR,
    SQZ_NEAR_CEIL
} sqz_resize_near;

typedef struct sqz_resize_attrs {
    sqz_floats scales; /* one for each axis, or empty */
    sqz_ints sizes;    /* one for each axis, 0: as in the input; or empty */
    int64_t coord, near;
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
    {                                                                                              \
        .name = "coordinate_transformation_mode", .offset = offsetof(sqz_resize_attrs, coord),     \
        .type = SQZ_A_ENUM, .max = SQZ_RESIZE_HALF_PIXEL_SYMMETRIC,                                \
        .names = "half_pixel|pytorch_half_pixel|align_corners|asymmetric|half_pixel_symmetric",    \
        .doc = "which input coordinate an output coordinate means"                                 \
    }

sqz_status sqz_resize_infer(sqz_infer *q);
/* Coordinate in the input (length `in`) of output coordinate i (length `out`) along an axis. */
float sqz_resize_source(const sqz_resize_attrs *at, int32_t axis, int64_t i, int64_t in,
                        int64_t out);
/* Both operators read Resize and Upsample and pick the one that `mode` means. */
sqz_status sqz_resize_import(sqz_import *im, const sqz_op *op);
sqz_status sqz_resize_write(sqz_export *e, const char *mode);
#endif
