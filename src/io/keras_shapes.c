/* keras_shapes.c: layers that move numbers: Flatten, Reshape, Permute, RepeatVector, padding,
 * cropping, upsampling; and those that do nothing when a model runs. */
#include "io/keras.h"
#include <string.h>

static sqz_status nothing(sqz_klayer *l)
{
    for (uint32_t i = 0; i < l->n_in && l->n_out < SQZ_KERAS_OUTS; i++)
        l->out[l->n_out++] = *l->in[i];
    return l->status;
}

static sqz_status reshape_to(sqz_klayer *l, sqz_vid x, uint32_t n, const int64_t *dim)
{
    sqz_keras_out(l,
                  sqz_keras_node(l, "Reshape", NULL, NULL, 0, SQZ_KI(x, sqz_keras_ints(l, n, dim))),
                  false);
    return l->status;
}

/* With channels_first, Keras moves the channels to the end before it flattens. */
static sqz_status flatten(sqz_klayer *l)
{
    const sqz_shape s = sqz_keras_shape(l, l->in[0]);
    bool last = l->k->version == 1 || sqz_kc_last(l);
    sqz_vid x = sqz_keras_plain(l, l->in[0]);
    if (!last && s.rank > 2) {
        int64_t perm[SQZ_MAX_RANK];
        for (int32_t i = 0; i < s.rank; i++)
            perm[i] = i == 0 ? 0 : i + 1 < s.rank ? i + 1 : 1;
        x = sqz_keras_node(l, "Transpose", "nhwc",
                           SQZ_KA(SQZ_K_INTS("perm", (uint32_t)s.rank, perm)), SQZ_KI(x));
    }
    if (s.rank == 2) {
        sqz_keras_out(l, x, false);
        return l->status;
    }
    return reshape_to(l, x, 2, (const int64_t[]){0, -1});
}

static sqz_status reshape(sqz_klayer *l)
{
    int64_t dim[SQZ_MAX_RANK + 1] = {0};
    sqz_vid x = sqz_keras_plain(l, l->in[0]);
    const cJSON *target = sqz_kc_get(l->config, "target_shape");
    if (!target || !cJSON_IsArray(target))
        sqz_keras_fail(l, SQZ_E_FORMAT, "it has no target_shape");
    uint32_t n = target ? sqz_kc_list(l, target, -1, dim + 1) : 0;
    if (n + 1 > SQZ_MAX_RANK)
        sqz_keras_fail(l, SQZ_E_LIMIT, "a shape of %u axes, at most %d are supported", n + 1,
                       SQZ_MAX_RANK);
    return reshape_to(l, x, n + 1, dim);
}

static sqz_status permute(sqz_klayer *l)
{
    int64_t dim[SQZ_MAX_RANK + 1] = {0}, seen = 0;
    const sqz_shape s = sqz_keras_shape(l, l->in[0]);
    sqz_vid x = sqz_keras_plain(l, l->in[0]);
    uint32_t n = sqz_kc_list(l, sqz_kc_get(l->config, "dims"), -1, dim + 1);
    for (uint32_t i = 1; i <= n; i++)
        seen |= dim[i] > 0 && dim[i] <= SQZ_MAX_RANK ? (int64_t)1 << dim[i] : 0;
    if ((int32_t)n + 1 != s.rank || seen != ((int64_t)1 << s.rank) - 2)
        sqz_keras_fail(l, SQZ_E_FORMAT, "its dims are no permutation of 1 to %d", (int)s.rank - 1);
    sqz_keras_out(
        l, sqz_keras_node(l, "Transpose", NULL, SQZ_KA(SQZ_K_INTS("perm", n + 1, dim)), SQZ_KI(x)),
        false);
    return l->status;
}

/* (N, C) to (N, n, C) */
static sqz_status repeat(sqz_klayer *l)
{
    const int64_t one = 1, times[3] = {1, sqz_kc_int(l, "n", 1), 1};
    sqz_vid x = sqz_keras_plain(l, l->in[0]);
    if (times[1] < 1)
        sqz_keras_fail(l, SQZ_E_FORMAT, "n is not above 0");
    x = sqz_keras_node(l, "Unsqueeze", "unsqueeze", NULL, 0, SQZ_KI(x, sqz_keras_ints(l, 1, &one)));
    sqz_keras_out(
        l, sqz_keras_node(l, "Tile", NULL, NULL, 0, SQZ_KI(x, sqz_keras_ints(l, 3, times))), false);
    return l->status;
}

/* ---- borders ---- */

/* ((top, bottom), (left, right)), (vertical, horizontal), one number for all; Keras 1 also a dict
 * or (top, bottom, left, right). */
static void borders(sqz_klayer *l, const char *names, uint32_t n, int64_t *begin, int64_t *end)
{
    static const char *const side[] = {"top_pad", "bottom_pad", "left_pad", "right_pad"};
    const cJSON *item = sqz_kc_get(l->config, names);
    int64_t v[SQZ_MAX_RANK] = {0};
    for (uint32_t i = 0; i < n; i++)
        begin[i] = end[i] = 1;
    if (!item)
        return;
    if (cJSON_IsObject(item) && sqz_kc_get(item, "top_pad|left_pad")) {
        for (uint32_t i = 0; i < 2 * n && i < 4; i++) {
            const cJSON *e = sqz_kc_get(item, side[n == 1 ? i + 2 : i]);
            (i % 2 ? end : begin)[i / 2] = e ? (int64_t)e->valuedouble : 0;
        }
        return;
    }
    const cJSON *first = cJSON_IsArray(item) ? item->child : NULL;
    if (first && cJSON_IsArray(first)) {
        uint32_t i = 0;
        for (const cJSON *pair = first; pair && i < n; pair = pair->next, i++) {
            uint32_t m = sqz_kc_list(l, pair, 0, v);
            begin[i] = v[0];
            end[i] = m > 1 ? v[1] : v[0];
        }
        if (i != n)
            sqz_keras_fail(l, SQZ_E_FORMAT, "its borders do not fit its axes");
        return;
    }
    uint32_t m = sqz_kc_list(l, item, 0, v);
    if (m != 1 && m != n && m != 2 * n)
        sqz_keras_fail(l, SQZ_E_FORMAT, "its borders do not fit its axes");
    for (uint32_t i = 0; i < n; i++) {
        begin[i] = m == 1 ? v[0] : m == n ? v[i] : v[2 * i];
        end[i] = m == 1 ? v[0] : m == n ? v[i] : v[2 * i + 1];
    }
}

static sqz_vid spatial(sqz_klayer *l, bool *last)
{
    const int32_t n = l->cls->arg;
    *last = n == 1 || sqz_kc_last(l);
    sqz_vid x = *last ? sqz_keras_first(l, l->in[0]) : sqz_keras_plain(l, l->in[0]);
    if (l->status == SQZ_OK && sqz_val(l->k->g, x)->shape.rank != n + 2)
        sqz_keras_fail(l, SQZ_E_FORMAT, "its input has %d axes, expected %d",
                       (int)sqz_val(l->k->g, x)->shape.rank, (int)n + 2);
    return x;
}

static sqz_status zero_padding(sqz_klayer *l)
{
    const uint32_t n = (uint32_t)l->cls->arg;
    int64_t begin[3], end[3], pads[10] = {0};
    bool last;
    sqz_vid x = spatial(l, &last);
    borders(l, "padding", n, begin, end);
    for (uint32_t i = 0; i < n; i++) {
        pads[2 + i] = begin[i];
        pads[2 + n + 2 + i] = end[i];
    }
    sqz_keras_out(
        l, sqz_keras_node(l, "Pad", NULL, NULL, 0, SQZ_KI(x, sqz_keras_ints(l, 2 * (n + 2), pads))),
        last);
    return l->status;
}

static sqz_status cropping(sqz_klayer *l)
{
    const uint32_t n = (uint32_t)l->cls->arg;
    const int64_t axes[3] = {2, 3, 4};
    int64_t begin[3], end[3];
    bool last;
    sqz_vid x = spatial(l, &last);
    borders(l, "cropping", n, begin, end);
    for (uint32_t i = 0; i < n && l->status == SQZ_OK; i++) {
        int64_t size = sqz_val(l->k->g, x)->shape.dim[2 + i];
        if (begin[i] < 0 || end[i] < 0 || begin[i] > size || end[i] >= size - begin[i])
            sqz_keras_fail(l, SQZ_E_FORMAT, "nothing is left of an axis of %lld", (long long)size);
        end[i] = size - end[i];
    }
    sqz_keras_out(l,
                  sqz_keras_node(l, "Slice", NULL, NULL, 0,
                                 SQZ_KI(x, sqz_keras_ints(l, n, begin), sqz_keras_ints(l, n, end),
                                        sqz_keras_ints(l, n, axes))),
                  last);
    return l->status;
}

static sqz_vid factors(sqz_klayer *l, uint32_t n, const int64_t *v)
{
    const sqz_shape s = {1, {n + 2}};
    sqz_karray a;
    sqz_vid made;
    if (sqz_keras_cached(l, &made))
        return made;
    sqz_karray_zeros(l, &s, &a);
    for (uint32_t i = 0; i < n + 2 && l->status == SQZ_OK; i++)
        SQZ_F32P(&a.num)[i] = i < 2 ? 1.0f : (float)v[i - 2];
    return sqz_keras_const(l, "scales", &a);
}

/* Nearest: source = floor(i / factor); bilinear: centers of pixels on each other (TensorFlow 2). */
static sqz_status upsampling(sqz_klayer *l)
{
    const uint32_t n = (uint32_t)l->cls->arg;
    const char *mode = sqz_kc_str(l, "interpolation", "nearest");
    bool last, linear = strcmp(mode, "bilinear") == 0;
    int64_t size[3];
    sqz_vid x = spatial(l, &last);
    sqz_kc_ints(l, "size|length", n, 2, size);
    if (!linear && strcmp(mode, "nearest") != 0)
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "interpolation '%.40s' is not supported", mode);
    for (uint32_t i = 0; i < n; i++)
        if (size[i] < 1)
            sqz_keras_fail(l, SQZ_E_FORMAT, "its size is not above 0");
    const sqz_raw_attr attr[] = {
        SQZ_K_TEXT("mode", linear ? "linear" : "nearest"),
        SQZ_K_TEXT("coordinate_transformation_mode", linear ? "half_pixel" : "asymmetric"),
        SQZ_K_TEXT("nearest_mode", "floor")};
    sqz_keras_out(l,
                  sqz_keras_node(l, "Resize", NULL, attr, linear ? 2 : 3,
                                 SQZ_KI(x, SQZ_NONE, factors(l, n, size))),
                  last);
    return l->status;
}

static const sqz_kclass classes[] = {
    {"Dropout|SpatialDropout1D|SpatialDropout2D|SpatialDropout3D|GaussianNoise|GaussianDropout|"
     "AlphaDropout|ActivityRegularization|InputLayer|RandomFlip|RandomRotation|RandomZoom|"
     "RandomTranslation|RandomContrast|RandomBrightness|Identity",
     nothing, 0, SQZ_K_MASK_PASS},
    {"Flatten", flatten, 0, SQZ_K_MASK_DROP},
    {"Reshape", reshape, 0, SQZ_K_MASK_DROP},
    {"Permute", permute, 0, SQZ_K_MASK_DROP},
    {"RepeatVector", repeat, 0, SQZ_K_MASK_DROP},
    {"ZeroPadding1D", zero_padding, 1, SQZ_K_MASK_DROP},
    {"ZeroPadding2D", zero_padding, 2, SQZ_K_MASK_DROP},
    {"ZeroPadding3D", zero_padding, 3, SQZ_K_MASK_DROP},
    {"Cropping1D", cropping, 1, SQZ_K_MASK_DROP},
    {"Cropping2D", cropping, 2, SQZ_K_MASK_DROP},
    {"Cropping3D", cropping, 3, SQZ_K_MASK_DROP},
    {"UpSampling1D", upsampling, 1, SQZ_K_MASK_DROP},
    {"UpSampling2D", upsampling, 2, SQZ_K_MASK_DROP},
    {"UpSampling3D", upsampling, 3, SQZ_K_MASK_DROP},
};
const sqz_kclasses sqz_keras_shapes = {classes, SQZ_COUNT(classes)};
