/* keras_norm.c: normalizations by stored and by computed statistics, and rescaling. */
#include "io/keras.h"
#include <math.h>
#include <string.h>

/* ---- BatchNormalization ---- */

typedef struct batch_norm {
    sqz_karray part[4]; /* gamma, beta, mean, variance */
} batch_norm;
static const char *const part_name[] = {"gamma", "beta", "moving_mean", "moving_variance"};

static void fill(sqz_karray *a, float v)
{
    for (size_t i = 0; a->num.data && i < a->num.count; i++)
        SQZ_F32P(&a->num)[i] = v;
}

/* What the layer left out (scale, center) is ones or zeros. */
static void read_parts(sqz_klayer *l, bool scale, bool center, int64_t channels, batch_norm *b)
{
    const sqz_shape s = {1, {channels}};
    uint32_t slot = 0;
    for (int i = 0; i < 4; i++) {
        bool has = i > 1 || (i == 0 ? scale : center);
        if (has) {
            sqz_keras_weight(l, slot++, &b->part[i]);
        } else {
            sqz_karray_zeros(l, &s, &b->part[i]);
            fill(&b->part[i], i == 0 ? 1.0f : 0.0f);
        }
        if (l->status == SQZ_OK &&
            (b->part[i].num.shape.rank != 1 || b->part[i].num.shape.dim[0] != channels))
            sqz_keras_fail(l, SQZ_E_FORMAT, "its %s in the file is not %lld numbers", part_name[i],
                           (long long)channels);
    }
}

static int64_t norm_axis(sqz_klayer *l, int32_t rank)
{
    int64_t v[SQZ_MAX_RANK] = {-1};
    const cJSON *item = sqz_kc_get(l->config, "axis");
    if (item && sqz_kc_list(l, item, -1, v) != 1)
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "over several axes is not supported");
    if (l->k->version == 1 && sqz_kc_int(l, "mode", 0) == 1)
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "mode 1 (statistics of each sample) is not supported");
    return sqz_keras_axis(l, item ? v[0] : -1, rank, false);
}

/* The operator wants channels at axis 1. Any other axis becomes axis 1 and comes back. */
static sqz_status batch_normalization(sqz_klayer *l)
{
    bool scale = sqz_kc_bool(l, "scale", true), center = sqz_kc_bool(l, "center", true);
    const sqz_shape s = sqz_keras_shape(l, l->in[0]);
    int64_t axis = norm_axis(l, s.rank), perm[SQZ_MAX_RANK];
    double eps = sqz_kc_num(l, "epsilon", 1e-3);
    if (!sqz_keras_expect(l, 2 + (uint32_t)scale + (uint32_t)center))
        return l->status;
    if (axis == 0)
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "over the batch is not supported");
    bool last = axis == s.rank - 1 && s.rank > 2, swap = axis > 1 && !last;
    sqz_vid x = last ? sqz_keras_first(l, l->in[0]) : sqz_keras_plain(l, l->in[0]), v[5] = {x};
    for (int32_t i = 0; i < s.rank; i++)
        perm[i] = i == 1 ? axis : i == axis ? 1 : i;
    const sqz_raw_attr turn = SQZ_K_INTS("perm", (uint32_t)s.rank, perm);
    if (swap)
        v[0] = sqz_keras_node(l, "Transpose", "turn", &turn, 1, SQZ_KI(x));
    batch_norm b = {0};
    if (l->n_made == 0 && l->status == SQZ_OK)
        read_parts(l, scale, center, s.dim[axis], &b);
    for (int i = 0; i < 4; i++)
        v[i + 1] = sqz_keras_const(l, part_name[i], &b.part[i]);
    sqz_vid y = sqz_keras_node(l, "BatchNormalization", NULL, SQZ_KA(SQZ_K_FLOAT("epsilon", eps)),
                               v, 5);
    if (swap)
        y = sqz_keras_node(l, "Transpose", "turn_back", &turn, 1, SQZ_KI(y));
    sqz_keras_out(l, y, last);
    return l->status;
}

/* ---- LayerNormalization ---- */

static sqz_vid parameter(sqz_klayer *l, uint32_t slot, const char *suffix, int32_t rank,
                         const int64_t *dim)
{
    sqz_karray a;
    sqz_vid v;
    if (sqz_keras_cached(l, &v))
        return v;
    sqz_keras_weight(l, slot, &a);
    sqz_karray_reshape(l, &a, rank, dim);
    return sqz_keras_const(l, suffix, &a);
}

static sqz_vid two(sqz_klayer *l, const char *type, const char *suffix, sqz_vid a, sqz_vid b)
{
    return sqz_keras_node(l, type, suffix, NULL, 0, SQZ_KI(a, b));
}

static sqz_vid mean(sqz_klayer *l, const char *suffix, sqz_vid x, uint32_t n, const int64_t *axes)
{
    return sqz_keras_node(l, "ReduceMean", suffix,
                          SQZ_KA(SQZ_K_INTS("axes", n, axes), SQZ_K_INT("keepdims", 1)), SQZ_KI(x));
}

/* (x - mean) / sqrt(variance + epsilon) */
static sqz_vid standardized(sqz_klayer *l, sqz_vid x, uint32_t n, const int64_t *axes, double eps)
{
    sqz_vid d = two(l, "Sub", "centered", x, mean(l, "mean", x, n, axes));
    sqz_vid v = mean(l, "variance", two(l, "Mul", "square", d, d), n, axes);
    v = two(l, "Add", "epsilon", v, sqz_keras_number(l, eps));
    v = sqz_keras_node(l, "Sqrt", "deviation", NULL, 0, SQZ_KI(v));
    return two(l, "Div", "normalized", d, v);
}

typedef struct layer_norm {
    uint32_t n;
    int64_t axes[SQZ_MAX_RANK];
    int64_t dim[SQZ_MAX_RANK]; /* of the parameters: 1 where not normalized */
    bool tail;                 /* the last axes, in order */
} layer_norm;

static layer_norm layer_axes(sqz_klayer *l, const sqz_shape *s)
{
    layer_norm p = {.n = 1, .axes = {-1}, .tail = true};
    const cJSON *item = sqz_kc_get(l->config, "axis");
    if (item)
        p.n = sqz_kc_list(l, item, -1, p.axes);
    for (int32_t i = 0; i < s->rank; i++)
        p.dim[i] = 1;
    for (uint32_t i = 0; i < p.n; i++) {
        p.axes[i] = sqz_keras_axis(l, p.axes[i], s->rank, false);
        p.dim[p.axes[i]] = s->dim[p.axes[i]];
        p.tail = p.tail && p.axes[i] == s->rank - (int64_t)p.n + i;
    }
    return p;
}

static sqz_status layer_normalization(sqz_klayer *l)
{
    bool scale = sqz_kc_bool(l, "scale", true), center = sqz_kc_bool(l, "center", true);
    const sqz_shape s = sqz_keras_shape(l, l->in[0]);
    layer_norm p = layer_axes(l, &s);
    double eps = sqz_kc_num(l, "epsilon", 1e-3);
    sqz_vid x = sqz_keras_plain(l, l->in[0]);
    if (!sqz_keras_expect(l, (uint32_t)scale + (uint32_t)center))
        return l->status;
    if (scale && p.tail) {
        const int64_t *dim = p.dim + (s.rank - (int32_t)p.n);
        sqz_vid g = parameter(l, 0, "gamma", (int32_t)p.n, dim);
        sqz_vid b = center ? parameter(l, 1, "beta", (int32_t)p.n, dim) : SQZ_NONE;
        const sqz_raw_attr attr[] = {SQZ_K_INT("axis", p.axes[0]), SQZ_K_FLOAT("epsilon", eps)};
        sqz_keras_out(l, sqz_keras_node(l, "LayerNormalization", NULL, attr, 2, SQZ_KI(x, g, b)),
                      false);
        return l->status;
    }
    sqz_vid y = standardized(l, x, p.n, p.axes, eps);
    if (scale)
        y = two(l, "Mul", "scale", y, parameter(l, 0, "gamma", s.rank, p.dim));
    if (center)
        y = two(l, "Add", "center", y, parameter(l, scale, "beta", s.rank, p.dim));
    sqz_keras_out(l, y, false);
    return l->status;
}

/* ---- Rescaling, Normalization ---- */

/* Numbers of a list of any nesting, row by row; at most `room`. */
static size_t numbers(const cJSON *item, size_t room, float *out)
{
    const cJSON *stack[SQZ_MAX_RANK];
    size_t n = 0;
    int depth = 0;
    for (const cJSON *at = item; at || depth > 0;) {
        if (!at) {
            at = stack[--depth]->next;
            continue;
        }
        if (cJSON_IsArray(at) && depth < SQZ_MAX_RANK) {
            stack[depth++] = at;
            at = at->child;
            continue;
        }
        if (cJSON_IsNumber(at) && n < room)
            out[n++] = (float)at->valuedouble;
        at = depth ? at->next : NULL;
    }
    return n;
}

/* A constant of a config entry: one number, or one for each channel. */
static sqz_vid listed(sqz_klayer *l, const char *name, const cJSON *item, bool first, int64_t c)
{
    sqz_karray a;
    sqz_vid v;
    if (sqz_keras_cached(l, &v))
        return v;
    const cJSON *inside = item && cJSON_IsObject(item) ? sqz_kc_get(item, "config") : NULL;
    if (item && cJSON_IsObject(item))
        item = sqz_kc_get(inside && cJSON_IsObject(inside) ? inside : item, "value");
    bool one = item && cJSON_IsNumber(item);
    const sqz_shape scalar = {0}, flat = {1, {c}}, tall = {3, {c, 1, 1}};
    sqz_karray_zeros(l, one ? &scalar : first ? &tall : &flat, &a);
    if (l->status == SQZ_OK && numbers(item, a.num.count, SQZ_F32P(&a.num)) != a.num.count)
        sqz_keras_fail(l, SQZ_E_FORMAT, "'%s' is not a number, or one for each of %lld channels",
                       name, (long long)c);
    return sqz_keras_const(l, name, &a);
}

/* x * scale + offset */
static sqz_status rescaling(sqz_klayer *l)
{
    bool first;
    sqz_vid x = sqz_keras_any(l, l->in[0], &first);
    const sqz_shape s = sqz_keras_shape(l, l->in[0]);
    int64_t c = s.rank ? s.dim[s.rank - 1] : 1;
    const cJSON *scale = sqz_kc_get(l->config, "scale"), *offset = sqz_kc_get(l->config, "offset");
    if (s.rank != 4 && first)
        x = sqz_keras_plain(l, l->in[0]);
    first = first && s.rank == 4;
    sqz_vid y = two(l, "Mul", NULL, x, listed(l, "scale", scale, first, c));
    if (offset && !(cJSON_IsNumber(offset) && offset->valuedouble == 0))
        y = two(l, "Add", "offset", y, listed(l, "offset", offset, first, c));
    sqz_keras_out(l, y, first);
    return l->status;
}

/* Mean and variance: of the weights, or of the config. */
static sqz_vid statistic(sqz_klayer *l, uint32_t slot, const char *name, const layer_norm *p,
                         int32_t rank, bool deviation)
{
    sqz_karray a;
    sqz_vid v;
    const cJSON *item = sqz_kc_get(l->config, name);
    if (sqz_keras_cached(l, &v))
        return v;
    if (l->w.n > slot) {
        sqz_keras_weight(l, slot, &a);
        if (l->status == SQZ_OK && a.num.count != 1)
            sqz_karray_reshape(l, &a, rank, p->dim);
    } else {
        sqz_shape s = sqz_shape_of(rank, p->dim);
        if (item && cJSON_IsNumber(item))
            s = (sqz_shape){0};
        sqz_karray_zeros(l, &s, &a);
        if (l->status == SQZ_OK && numbers(item, a.num.count, SQZ_F32P(&a.num)) != a.num.count)
            sqz_keras_fail(l, SQZ_E_FORMAT, "it has no %s: adapt it before the model is saved",
                           name);
    }
    for (size_t i = 0; deviation && l->status == SQZ_OK && i < a.num.count; i++) {
        float sd = fmaxf(sqrtf(SQZ_F32P(&a.num)[i]), 1e-7f);
        SQZ_F32P(&a.num)[i] = sd;
    }
    sqz_tensor_free(l->k->ctx, &a.idx); /* not the weight itself */
    return sqz_keras_const(l, deviation ? "deviation" : name, &a);
}

/* (x - mean) / max(sqrt(variance), 1e-7), by element of the axes kept. */
static sqz_status normalization(sqz_klayer *l)
{
    const sqz_shape s = sqz_keras_shape(l, l->in[0]);
    const cJSON *axis = cJSON_GetObjectItemCaseSensitive(l->config, "axis");
    layer_norm p = layer_axes(l, &s);
    if (axis && cJSON_IsNull(axis))
        for (int32_t i = 0; i < s.rank; i++)
            p.dim[i] = 1;
    if (sqz_kc_bool(l, "invert", false))
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "invert is not supported");
    sqz_vid x = sqz_keras_plain(l, l->in[0]);
    sqz_vid y = two(l, "Sub", "centered", x, statistic(l, 0, "mean", &p, s.rank, false));
    y = two(l, "Div", NULL, y, statistic(l, 1, "variance", &p, s.rank, true));
    sqz_keras_out(l, y, false);
    return l->status;
}

static const sqz_kclass classes[] = {
    {"BatchNormalization|BatchNormalizationV1|BatchNormalizationV2|SyncBatchNormalization",
     batch_normalization, 0, SQZ_K_MASK_PASS},
    {"LayerNormalization", layer_normalization, 0, SQZ_K_MASK_PASS},
    {"Rescaling", rescaling, 0, SQZ_K_MASK_PASS},
    {"Normalization", normalization, 0, SQZ_K_MASK_PASS},
};
const sqz_kclasses sqz_keras_norm = {classes, SQZ_COUNT(classes)};
