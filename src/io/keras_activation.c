/* keras_activation.c: activations, as an argument of other layers and as layers of their own. */
#include "io/keras.h"
#include <math.h>
#include <string.h>

typedef struct act { /* one that is being built */
    sqz_klayer *l;
    sqz_vid x;
    bool first;
    const cJSON *config; /* of an activation object or layer; NULL: defaults */
} act;

static sqz_vid unary(const act *a, const char *type, const sqz_raw_attr *attr, unsigned n)
{
    return sqz_keras_node(a->l, type, a->config == a->l->config ? NULL : type, attr, n,
                          SQZ_KI(a->x));
}

/* Opsets at which an operator came, where that is later than ours. */
static sqz_vid unary_at(const act *a, const char *type, int64_t opset, const sqz_raw_attr *attr,
                        unsigned n)
{
    sqz_vid y;
    sqz_keras_nodes(a->l, type, opset, a->config == a->l->config ? NULL : type, attr, n,
                    SQZ_KI(a->x), &y, 1);
    return y;
}

static sqz_vid clip(sqz_klayer *l, const char *suffix, sqz_vid x, double lo, double hi)
{
    return sqz_keras_node(l, "Clip", suffix, NULL, 0,
                          SQZ_KI(x, sqz_keras_number(l, lo), sqz_keras_number(l, hi)));
}

static sqz_vid two(sqz_klayer *l, const char *type, const char *suffix, sqz_vid a, sqz_vid b)
{
    return sqz_keras_node(l, type, suffix, NULL, 0, SQZ_KI(a, b));
}

/* x * k, k a number. */
static sqz_vid times(sqz_klayer *l, const char *suffix, sqz_vid x, double k)
{
    return two(l, "Mul", suffix, x, sqz_keras_number(l, k));
}

static double number(const act *a, const char *names, double def)
{
    const cJSON *item = sqz_kc_get(a->config, names);
    if (item && cJSON_IsObject(item)) { /* a NumPy number */
        const cJSON *inside = sqz_kc_get(item, "config");
        item = sqz_kc_get(inside && cJSON_IsObject(inside) ? inside : item, "value");
    }
    if (item && (!cJSON_IsNumber(item) || !isfinite(item->valuedouble))) {
        sqz_keras_fail(a->l, SQZ_E_FORMAT, "'%.*s' is not a number", (int)strcspn(names, "|"),
                       names);
        return def;
    }
    return item ? item->valuedouble : def;
}

static sqz_vid linear(const act *a) { return a->x; }

/* max_value from it on, x between threshold and it, slope * (x - threshold) below. */
static sqz_vid general_relu(const act *a, double slope, double threshold, double most, bool capped)
{
    sqz_klayer *l = a->l;
    const char *own = a->config == l->config ? NULL : "Relu";
    if (threshold == 0 && slope == 0)
        return capped ? clip(l, own, a->x, 0, most) : unary(a, "Relu", NULL, 0);
    if (threshold == 0) {
        sqz_vid y = unary(a, "LeakyRelu", SQZ_KA(SQZ_K_FLOAT("alpha", slope)));
        return capped ? two(l, "Min", "min", y, sqz_keras_number(l, most)) : y;
    }
    sqz_vid y = unary_at(a, "ThresholdedRelu", 10, SQZ_KA(SQZ_K_FLOAT("alpha", threshold)));
    if (capped)
        y = clip(l, "clip", y, 0, most);
    if (slope == 0)
        return y;
    sqz_vid below = two(l, "Sub", "below", sqz_keras_number(l, threshold), a->x);
    below = sqz_keras_node(l, "Relu", "below_relu", NULL, 0, SQZ_KI(below));
    return two(l, "Sub", "sum", y, times(l, "slope", below, slope));
}

static sqz_vid relu(const act *a)
{
    const cJSON *max = sqz_kc_get(a->config, "max_value");
    return general_relu(a, number(a, "negative_slope|alpha", 0), number(a, "threshold", 0),
                        number(a, "max_value", 0), max != NULL);
}
static sqz_vid relu6(const act *a) { return general_relu(a, 0, 0, 6, true); }
static sqz_vid leaky(const act *a)
{
    double def = a->config == a->l->config ? 0.3 : 0.2;
    return unary(a, "LeakyRelu",
                 SQZ_KA(SQZ_K_FLOAT("alpha", number(a, "alpha|negative_slope", def))));
}
static sqz_vid thresholded(const act *a)
{
    return unary_at(a, "ThresholdedRelu", 10, SQZ_KA(SQZ_K_FLOAT("alpha", number(a, "theta", 1))));
}
static sqz_vid elu(const act *a)
{
    return unary(a, "Elu", SQZ_KA(SQZ_K_FLOAT("alpha", number(a, "alpha", 1))));
}
static sqz_vid selu(const act *a) { return unary(a, "Selu", NULL, 0); }
static sqz_vid softplus(const act *a) { return unary(a, "Softplus", NULL, 0); }
static sqz_vid softsign(const act *a) { return unary(a, "Softsign", NULL, 0); }
static sqz_vid tangens(const act *a) { return unary(a, "Tanh", NULL, 0); }
static sqz_vid sigmoid(const act *a) { return unary(a, "Sigmoid", NULL, 0); }
static sqz_vid exponential(const act *a) { return unary(a, "Exp", NULL, 0); }
/* 0.2 x + 0.5 up to Keras 2, relu6(x + 3) / 6 since. */
static sqz_vid hard_sigmoid(const act *a)
{
    double alpha = a->l->k->version >= 3 ? 1.0 / 6 : 0.2;
    return unary(a, "HardSigmoid", SQZ_KA(SQZ_K_FLOAT("alpha", alpha), SQZ_K_FLOAT("beta", 0.5)));
}
static sqz_vid hard_silu(const act *a) { return unary(a, "HardSwish", NULL, 0); }
static sqz_vid mish(const act *a) { return unary_at(a, "Mish", 18, NULL, 0); }
static sqz_vid swish(const act *a)
{
    sqz_vid s = sqz_keras_node(a->l, "Sigmoid", "Sigmoid", NULL, 0, SQZ_KI(a->x));
    return two(a->l, "Mul", a->config == a->l->config ? NULL : "Mul", a->x, s);
}
static sqz_vid gelu(const act *a)
{
    const cJSON *tanh_form = sqz_kc_get(a->config, "approximate");
    return unary_at(a, "Gelu", 20,
                    SQZ_KA(SQZ_K_TEXT("approximate", cJSON_IsTrue(tanh_form) ? "tanh" : "none")));
}

static sqz_vid over_axis(const act *a, const char *type)
{
    if (a->l->status != SQZ_OK)
        return SQZ_NONE;
    int32_t rank = sqz_val(a->l->k->g, a->x)->shape.rank;
    const cJSON *axis = sqz_kc_get(a->config, "axis");
    int64_t at = -1;
    if (axis && sqz_kc_list(a->l, axis, -1, (int64_t[SQZ_MAX_RANK]){0}) != 1)
        sqz_keras_fail(a->l, SQZ_E_UNSUPPORTED, "over several axes is not supported");
    else if (axis)
        (void)sqz_kc_list(a->l, axis, -1, &at);
    at = sqz_keras_axis(a->l, at, rank, a->first);
    return unary(a, type, SQZ_KA(SQZ_K_INT("axis", at)));
}
static sqz_vid softmax(const act *a) { return over_axis(a, "Softmax"); }
static sqz_vid log_softmax(const act *a) { return over_axis(a, "LogSoftmax"); }

static const struct kind {
    const char *names;
    sqz_vid (*build)(const act *a);
} kinds[] = {
    {"linear", linear},
    {"relu", relu},
    {"relu6", relu6},
    {"leaky_relu|leakyrelu", leaky},
    {"elu", elu},
    {"selu", selu},
    {"softplus", softplus},
    {"softsign", softsign},
    {"tanh", tangens},
    {"sigmoid", sigmoid},
    {"hard_sigmoid", hard_sigmoid},
    {"exponential|exp", exponential},
    {"swish|silu", swish},
    {"hard_silu|hard_swish", hard_silu},
    {"gelu", gelu},
    {"mish", mish},
    {"softmax", softmax},
    {"log_softmax", log_softmax},
};

static sqz_vid by_name(act *a, const char *name)
{
    for (size_t i = 0; i < SQZ_COUNT(kinds); i++)
        if (sqz_kc_is(kinds[i].names, name))
            return kinds[i].build(a);
    sqz_keras_fail(a->l, SQZ_E_UNSUPPORTED, "activation '%.60s' is not known: %s", name,
                   sqz_keras_advice("a custom activation"));
    return SQZ_NONE;
}

const char *sqz_keras_activation_name(const cJSON *spec)
{
    if (!spec)
        return "linear";
    if (cJSON_IsString(spec))
        return spec->valuestring;
    /* a function by reference: {"class_name": "function", "config": "swish"} */
    const cJSON *config = sqz_kc_get(spec, "config"),
                *own = sqz_kc_get(spec, "class_name|registered_name");
    if (config && cJSON_IsString(config))
        return config->valuestring;
    return own && cJSON_IsString(own) ? own->valuestring : NULL;
}

/* Layers that stand where an activation is expected. */
static const struct alias {
    const char *type, *name;
} aliases[] = {{"ReLU", "relu"},
               {"LeakyReLU", "leaky_relu"},
               {"ELU", "elu"},
               {"Softmax", "softmax"},
               {"Activation", NULL}};

sqz_vid sqz_keras_activate(sqz_klayer *l, const cJSON *spec, sqz_vid x, bool first)
{
    act a = {l, x, first, NULL};
    const char *name = sqz_keras_activation_name(spec);
    if (l->status != SQZ_OK)
        return SQZ_NONE;
    if (!name) {
        sqz_keras_fail(l, SQZ_E_FORMAT, "its activation is no name");
        return SQZ_NONE;
    }
    const cJSON *config = spec && cJSON_IsObject(spec) ? sqz_kc_get(spec, "config") : NULL;
    for (size_t i = 0; config && cJSON_IsObject(config) && i < SQZ_COUNT(aliases); i++)
        if (strcmp(aliases[i].type, name) == 0) {
            a.config = config;
            if (!aliases[i].name)
                return sqz_keras_activate(l, sqz_kc_get(config, "activation"), x, first);
            name = aliases[i].name;
            if (strcmp(name, "leaky_relu") == 0 && !sqz_kc_get(config, "alpha|negative_slope"))
                return unary(&a, "LeakyRelu", SQZ_KA(SQZ_K_FLOAT("alpha", 0.3)));
        }
    return by_name(&a, name);
}

/* ---- layers ---- */

/* The first node that comes of it has the layer's name. */
static sqz_status activation(sqz_klayer *l)
{
    act a = {.l = l, .config = l->config};
    const char *name = sqz_keras_activation_name(sqz_kc_get(l->config, "activation"));
    a.x = sqz_keras_any(l, l->in[0], &a.first);
    if (!name)
        sqz_keras_fail(l, SQZ_E_FORMAT, "its activation is no name");
    sqz_vid y = l->status == SQZ_OK ? by_name(&a, name) : SQZ_NONE;
    sqz_keras_out(l, y, a.first);
    return l->status;
}

static const char *const layer_kinds[] = {"relu", "leaky_relu", "elu", "softmax", NULL};

static sqz_status layer(sqz_klayer *l)
{
    act a = {.l = l, .config = l->config};
    a.x = sqz_keras_any(l, l->in[0], &a.first);
    sqz_vid y = layer_kinds[l->cls->arg] ? by_name(&a, layer_kinds[l->cls->arg]) : thresholded(&a);
    sqz_keras_out(l, y, a.first);
    return l->status;
}

/* relu(x) - alpha * relu(-x), with one slope for each element where shared_axes leaves them. */
static sqz_vid prelu_parts(sqz_klayer *l, sqz_vid x, sqz_vid slope)
{
    sqz_vid up = sqz_keras_node(l, "Relu", "relu", NULL, 0, SQZ_KI(x));
    sqz_vid down = sqz_keras_node(l, "Neg", "neg", NULL, 0, SQZ_KI(x));
    down = sqz_keras_node(l, "Relu", "neg_relu", NULL, 0, SQZ_KI(down));
    return two(l, "Sub", NULL, up, two(l, "Mul", "slope", slope, down));
}

/* The slopes (1, ...) in Keras' order, or with the channels first. */
static sqz_status prelu(sqz_klayer *l)
{
    bool first, by_channel = true;
    sqz_vid x = sqz_keras_any(l, l->in[0], &first), slope;
    if (!sqz_keras_expect(l, 1))
        return l->status;
    int32_t rank = sqz_val(l->k->g, x)->shape.rank;
    if (!sqz_keras_cached(l, &slope)) {
        sqz_karray a;
        int64_t dim[SQZ_MAX_RANK];
        int perm[SQZ_MAX_RANK];
        sqz_keras_weight(l, 0, &a);
        if (l->status == SQZ_OK && a.num.shape.rank != rank - 1)
            sqz_keras_fail(l, SQZ_E_FORMAT, "its slopes have %d axes, expected %d",
                           (int)a.num.shape.rank, (int)rank - 1);
        for (int32_t i = 0; i + 1 < rank; i++) {
            dim[i] = l->status == SQZ_OK ? a.num.shape.dim[i] : 1;
            perm[i] = !first ? i : i == 0 ? rank - 2 : i - 1;
        }
        sqz_karray_reshape(l, &a, rank - 1, dim);
        sqz_karray_permute(l, &a, rank - 1, perm);
        slope = sqz_keras_const(l, "alpha", &a);
    }
    if (l->status != SQZ_OK)
        return l->status;
    const sqz_shape *s = &sqz_val(l->k->g, slope)->shape;
    for (int32_t i = 0; i < s->rank; i++)
        by_channel = by_channel && (s->dim[i] == 1 || i == 0);
    sqz_keras_out(l, by_channel ? two(l, "PRelu", NULL, x, slope) : prelu_parts(l, x, slope),
                  first);
    return l->status;
}

static const sqz_kclass classes[] = {
    {"Activation", activation, 0, SQZ_K_MASK_PASS}, {"ReLU", layer, 0, SQZ_K_MASK_PASS},
    {"LeakyReLU", layer, 1, SQZ_K_MASK_PASS},       {"ELU", layer, 2, SQZ_K_MASK_PASS},
    {"Softmax", layer, 3, SQZ_K_MASK_USE},          {"ThresholdedReLU", layer, 4, SQZ_K_MASK_PASS},
    {"PReLU", prelu, 0, SQZ_K_MASK_PASS},
};
const sqz_kclasses sqz_keras_activations = {classes, SQZ_COUNT(classes)};
