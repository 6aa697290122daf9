/* keras_pool.c: pools over windows and over everything. Padding "same" does not count in the mean.
 */
#include "io/keras.h"
#include <string.h>

enum { MAXIMUM = 16 }; /* beside the number of spatial dimensions */

static sqz_status pool(sqz_klayer *l)
{
    const uint32_t n = (uint32_t)l->cls->arg & 15;
    const char *type = l->cls->arg & MAXIMUM ? "MaxPool" : "AveragePool";
    const char *padding = sqz_kc_str(l, "padding|border_mode", "valid");
    const bool last = sqz_kc_last(l);
    int64_t size[3], step[3];
    sqz_kc_ints(l, "pool_size|pool_length", n, 2, size);
    if (sqz_kc_get(l->config, "strides|stride"))
        sqz_kc_ints(l, "strides|stride", n, 1, step);
    else
        memcpy(step, size, sizeof step);
    if (!sqz_kc_is("valid|same", padding))
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "padding '%.40s' is not supported", padding);
    sqz_vid x = last ? sqz_keras_first(l, l->in[0]) : sqz_keras_plain(l, l->in[0]);
    const sqz_raw_attr attr[] = {
        SQZ_K_INTS("kernel_shape", n, size), SQZ_K_INTS("strides", n, step),
        SQZ_K_TEXT("auto_pad", strcmp(padding, "same") == 0 ? "SAME_UPPER" : "VALID")};
    sqz_keras_out(l, sqz_keras_node(l, type, NULL, attr, SQZ_COUNT(attr), SQZ_KI(x)), last);
    return l->status;
}

/* keepdims keeps the spatial axes, of length 1. */
static sqz_status global(sqz_klayer *l)
{
    const uint32_t n = (uint32_t)l->cls->arg & 15;
    const char *type = l->cls->arg & MAXIMUM ? "GlobalMaxPool" : "GlobalAveragePool";
    const bool last = sqz_kc_last(l), keep = sqz_kc_bool(l, "keepdims", false);
    const int64_t axes[3] = {2, 3, 4};
    sqz_vid x = last ? sqz_keras_first(l, l->in[0]) : sqz_keras_plain(l, l->in[0]);
    sqz_vid y = sqz_keras_node(l, type, NULL, NULL, 0, SQZ_KI(x));
    if (!keep)
        y = sqz_keras_node(l, "Squeeze", "squeeze", NULL, 0, SQZ_KI(y, sqz_keras_ints(l, n, axes)));
    sqz_keras_out(l, y, last && keep);
    return l->status;
}

static const sqz_kclass classes[] = {
    {"MaxPooling1D|MaxPool1D", pool, 1 | MAXIMUM, SQZ_K_MASK_DROP},
    {"MaxPooling2D|MaxPool2D", pool, 2 | MAXIMUM, SQZ_K_MASK_DROP},
    {"MaxPooling3D|MaxPool3D", pool, 3 | MAXIMUM, SQZ_K_MASK_DROP},
    {"AveragePooling1D|AvgPool1D", pool, 1, SQZ_K_MASK_DROP},
    {"AveragePooling2D|AvgPool2D", pool, 2, SQZ_K_MASK_DROP},
    {"AveragePooling3D|AvgPool3D", pool, 3, SQZ_K_MASK_DROP},
    {"GlobalMaxPooling1D|GlobalMaxPool1D", global, 1 | MAXIMUM, SQZ_K_MASK_DROP},
    {"GlobalMaxPooling2D|GlobalMaxPool2D", global, 2 | MAXIMUM, SQZ_K_MASK_DROP},
    {"GlobalMaxPooling3D|GlobalMaxPool3D", global, 3 | MAXIMUM, SQZ_K_MASK_DROP},
    {"GlobalAveragePooling1D|GlobalAvgPool1D", global, 1, SQZ_K_MASK_USE},
    {"GlobalAveragePooling2D|GlobalAvgPool2D", global, 2, SQZ_K_MASK_DROP},
    {"GlobalAveragePooling3D|GlobalAvgPool3D", global, 3, SQZ_K_MASK_DROP},
};
const sqz_kclasses sqz_keras_pool = {classes, SQZ_COUNT(classes)};
