/* keras_recurrent.c: LSTM, GRU, SimpleRNN, alone or as both halves of Bidirectional. Keras has
 * (N, T, I) and kernels (I, gates * H); ONNX has (T, N, I) and (directions, gates * H, I). Gates
 * are i f c o in Keras' LSTM and i o f c in ONNX's, z r h in both GRUs. */
#include "io/keras.h"
#include <stdio.h>
#include <string.h>

typedef struct kind {
    const char *onnx;
    uint32_t gates;
    int order[4];     /* gate g of ONNX is gate order[g] of Keras */
    int old_order[4]; /* place of a gate of Keras 2 in Keras 1: i c f o, z r h */
    bool cudnn;
} kind;
enum { LSTM, GRU, SIMPLE, CUDNN_LSTM, CUDNN_GRU };
static const kind kinds[] = {
    [LSTM] = {"LSTM", 4, {0, 3, 1, 2}, {0, 2, 1, 3}, false},
    [GRU] = {"GRU", 3, {0, 1, 2}, {0, 1, 2}, false},
    [SIMPLE] = {"RNN", 1, {0}, {0}, false},
    [CUDNN_LSTM] = {"LSTM", 4, {0, 3, 1, 2}, {0, 2, 1, 3}, true},
    [CUDNN_GRU] = {"GRU", 3, {0, 1, 2}, {0, 1, 2}, true},
};

typedef struct cell { /* one direction */
    sqz_klayer *l;
    const kind *k;
    int64_t units;
    bool bias, two_biases, reset_after;
} cell;

/* ---- activations by ONNX's names ---- */

typedef struct activation {
    const char *name;
    float alpha, beta;
} activation;

static activation activation_of(sqz_klayer *l, const char *names, const char *def)
{
    static const struct row {
        const char *keras;
        activation onnx;
    } rows[] = {{"linear", {"Affine", 1, 0}},
                {"relu", {"Relu", 0, 0}},
                {"tanh", {"Tanh", 0, 0}},
                {"sigmoid", {"Sigmoid", 0, 0}},
                {"hard_sigmoid", {"HardSigmoid", 0.2f, 0.5f}},
                {"elu", {"Elu", 1, 0}},
                {"softsign", {"Softsign", 0, 0}},
                {"softplus", {"Softplus", 0, 0}}};
    const cJSON *spec = sqz_kc_get(l->config, names);
    const char *name = spec ? sqz_keras_activation_name(spec) : def;
    for (size_t i = 0; name && i < SQZ_COUNT(rows); i++)
        if (strcmp(rows[i].keras, name) == 0) {
            activation a = rows[i].onnx;
            if (l->k->version >= 3 && strcmp(name, "hard_sigmoid") == 0)
                a.alpha = 1.0f / 6;
            return a;
        }
    sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "its activation '%.60s' has no form in ONNX's %s: %s",
                   name ? name : "", l->type, sqz_keras_advice("a custom activation"));
    return rows[0].onnx;
}

/* f, g, h of ONNX: gates, candidate, output. */
static uint32_t activations(const cell *c, activation *out)
{
    const char *inner = "recurrent_activation|inner_activation";
    bool old = c->l->k->version == 1 || !sqz_kc_get(c->l->config, "units");
    activation own = activation_of(c->l, "activation", "tanh");
    if (c->k->gates == 1) {
        out[0] = own;
        return 1;
    }
    out[0] = c->k->cudnn ? activation_of(c->l, "recurrent_activation", "sigmoid")
                         : activation_of(c->l, inner, old ? "hard_sigmoid" : "sigmoid");
    out[1] = out[2] = own;
    return c->k->gates == 4 ? 3 : 2;
}

/* ---- weights ---- */

/* `a` (gates * H along its last axis) with the gates in ONNX's order, transposed to (1, gates * H,
 * rest), or for a bias (gates * H). Takes over `a`. */
static void reorder(const cell *c, sqz_karray *a, sqz_karray *out)
{
    sqz_klayer *l = c->l;
    sqz_karray part[4] = {0};
    *out = (sqz_karray){0};
    int32_t axis = l->status == SQZ_OK ? a->num.shape.rank - 1 : 0;
    if (l->status == SQZ_OK && (axis < 0 || a->num.shape.dim[axis] != c->units * c->k->gates))
        sqz_keras_fail(l, SQZ_E_FORMAT, "its weights do not fit %lld units", (long long)c->units);
    for (uint32_t g = 0; g < c->k->gates; g++)
        sqz_karray_take(l, a, axis, c->k->order[g] * c->units, c->units, &part[g]);
    sqz_karray_free(l, a);
    sqz_karray_join(l, part, c->k->gates, axis, out);
    if (l->status != SQZ_OK || axis == 0)
        return;
    sqz_karray_permute(l, out, 2, (const int[]){1, 0});
    if (l->status == SQZ_OK)
        sqz_karray_reshape(l, out, 3,
                           (const int64_t[]){1, out->num.shape.dim[0], out->num.shape.dim[1]});
}

/* Keras 1 kept the matrices of each gate: W_g, U_g, b_g for g in its order. */
static void gather_old(const cell *c, uint32_t which, sqz_karray *out)
{
    sqz_karray part[4] = {0};
    for (uint32_t g = 0; g < c->k->gates; g++)
        sqz_keras_weight(c->l, 3 * (uint32_t)c->k->old_order[c->k->order[g]] + which, &part[g]);
    int32_t axis = which == 2 ? 0 : 1;
    sqz_karray_join(c->l, part, c->k->gates, axis, out);
    if (axis == 0 || c->l->status != SQZ_OK)
        return;
    sqz_karray_permute(c->l, out, 2, (const int[]){1, 0});
    if (c->l->status == SQZ_OK)
        sqz_karray_reshape(c->l, out, 3,
                           (const int64_t[]){1, out->num.shape.dim[0], out->num.shape.dim[1]});
}

/* (1, 2 * gates * H): of the input, then of the state (zeros where Keras has one only). */
static void biases(const cell *c, sqz_karray *a, sqz_karray *out)
{
    sqz_klayer *l = c->l;
    const int64_t n = c->units * c->k->gates;
    const sqz_shape flat = {1, {n}};
    sqz_karray half[2] = {0}, raw;
    for (int i = 0; i < 2; i++) {
        if (i == 1 && !c->two_biases) {
            sqz_karray_zeros(l, &flat, &half[1]);
            continue;
        }
        if (c->two_biases)
            sqz_karray_reshape(l, a, 1, (const int64_t[]){2 * n});
        sqz_karray_take(l, a, 0, i * n, n, &raw);
        reorder(c, &raw, &half[i]);
    }
    sqz_karray_free(l, a);
    sqz_karray_join(l, half, 2, 0, out);
    sqz_karray_reshape(l, out, 2, (const int64_t[]){1, 2 * n});
}

/* W, R, B of one direction. */
static void read_cell(const cell *c, sqz_karray out[3])
{
    sqz_klayer *l = c->l;
    uint32_t g = c->k->gates, old = 3 * g;
    sqz_karray raw;
    for (int i = 0; i < 3; i++)
        out[i] = (sqz_karray){0};
    if (l->k->version == 1 && g > 1 && l->w.n == old) {
        const sqz_shape none = {1, {c->units * g}};
        sqz_karray both[2];
        gather_old(c, 0, &out[0]);
        gather_old(c, 1, &out[1]);
        gather_old(c, 2, &both[0]);
        sqz_karray_zeros(l, &none, &both[1]);
        sqz_karray_join(l, both, 2, 0, &out[2]);
        sqz_karray_reshape(l, &out[2], 2, (const int64_t[]){1, 2 * c->units * g});
        return;
    }
    if (!sqz_keras_expect(l, 2 + (uint32_t)c->bias))
        return;
    for (uint32_t i = 0; i < 2; i++) {
        sqz_keras_weight(l, i, &raw);
        if (l->status == SQZ_OK && raw.num.shape.rank != 2)
            sqz_keras_fail(l, SQZ_E_FORMAT, "its weights are no matrices");
        reorder(c, &raw, &out[i]);
    }
    if (c->bias) {
        sqz_keras_weight(l, 2, &raw);
        biases(c, &raw, &out[2]);
    }
}

static cell cell_of(sqz_klayer *l)
{
    cell c = {.l = l, .k = &kinds[l->cls->arg]};
    c.units = sqz_kc_int(l, "units|output_dim", 0);
    c.bias = c.k->cudnn || sqz_kc_bool(l, "use_bias", true);
    c.reset_after = c.k->gates == 3 && (c.k->cudnn || sqz_kc_bool(l, "reset_after", false));
    c.two_biases = c.k->cudnn || c.reset_after;
    if (c.units < 1)
        sqz_keras_fail(l, SQZ_E_FORMAT, "it has %lld units", (long long)c.units);
    if (sqz_kc_bool(l, "time_major", false))
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "time_major is not supported: export batch-major");
    return c;
}

/* ---- the node ---- */

typedef struct rnn { /* one or two directions */
    sqz_klayer *l;   /* the layer that gets the nodes */
    cell cell[2];
    uint32_t n;
    sqz_vid y, h, c; /* (T, n, N, H); (n, N, H) */
} rnn;

static void constants(rnn *r, sqz_vid out[3])
{
    static const char *const name[] = {"W", "R", "B"};
    sqz_karray part[2][3] = {0}, whole;
    uint32_t n = r->cell[0].bias ? 3 : 2;
    bool cached = r->l->n_made > 0;
    for (uint32_t d = 0; d < r->n && !cached; d++)
        read_cell(&r->cell[d], part[d]);
    for (uint32_t i = 0; i < 3; i++) {
        out[i] = SQZ_NONE;
        sqz_karray both[2] = {part[0][i], part[1][i]};
        whole = (sqz_karray){0};
        for (uint32_t d = 0; d < r->n; d++)
            if (r->l->status == SQZ_OK)
                r->l->status = r->cell[d].l->status;
        if (!cached && i < n)
            sqz_karray_join(r->l, both, r->n, 0, &whole);
        else
            for (uint32_t d = 0; d < r->n; d++)
                sqz_karray_free(r->l, &both[d]);
        if (i < n)
            out[i] = sqz_keras_const(r->l, name[i], &whole);
    }
}

/* Initial states of both directions as one (n, N, H); SQZ_NONE: none. */
static sqz_vid state(rnn *r, uint32_t first, uint32_t step, const char *suffix)
{
    const int64_t zero[1] = {0};
    sqz_vid part[2];
    char name[40];
    for (uint32_t d = 0; d < r->n; d++) {
        if (first + d * step >= r->l->n_in)
            return SQZ_NONE;
        (void)snprintf(name, sizeof name, "%s_%u", suffix, d);
        part[d] = sqz_keras_node(r->l, "Unsqueeze", name, NULL, 0,
                                 SQZ_KI(sqz_keras_plain(r->l, r->l->in[first + d * step]),
                                        sqz_keras_ints(r->l, 1, zero)));
    }
    return r->n == 1
               ? part[0]
               : sqz_keras_node(r->l, "Concat", suffix, SQZ_KA(SQZ_K_INT("axis", 0)), part, 2);
}

static void node(rnn *r, sqz_vid x)
{
    sqz_klayer *l = r->l;
    const cell *c = &r->cell[0];
    activation act[6];
    const char *names[6];
    float alpha[6], beta[6];
    uint32_t n = 0, n_alpha = 0, n_beta = 0;
    for (uint32_t d = 0; d < r->n; d++)
        n += activations(&r->cell[d], act + n);
    for (uint32_t i = 0; i < n; i++) {
        names[i] = act[i].name;
        if (sqz_kc_is("HardSigmoid|Elu|Affine", act[i].name))
            alpha[n_alpha++] = act[i].alpha;
        if (sqz_kc_is("HardSigmoid|Affine", act[i].name))
            beta[n_beta++] = act[i].beta;
    }
    sqz_vid in[7] = {x, SQZ_NONE, SQZ_NONE, SQZ_NONE, SQZ_NONE, SQZ_NONE, SQZ_NONE}, out[3];
    constants(r, in + 1);
    uint32_t states = c->k->gates == 4 ? 2 : 1;
    in[5] = state(r, 1, states, "initial_h");
    in[6] = states == 2 ? state(r, 2, states, "initial_c") : SQZ_NONE;
    sqz_raw_attr attr[8] = {
        SQZ_K_INT("hidden_size", c->units),
        SQZ_K_TEXT("direction", r->n == 2 ? "bidirectional" : "forward"),
        {.name = "activations", .type = 8, .s = "", .strings = names, .n_strings = n}};
    unsigned n_attr = 3;
    if (n_alpha)
        attr[n_attr++] = (sqz_raw_attr){
            .name = "activation_alpha", .type = 6, .s = "", .floats = {n_alpha, alpha}};
    if (n_beta)
        attr[n_attr++] = (sqz_raw_attr){
            .name = "activation_beta", .type = 6, .s = "", .floats = {n_beta, beta}};
    if (c->reset_after)
        attr[n_attr++] = SQZ_K_INT("linear_before_reset", 1);
    sqz_keras_nodes(l, c->k->onnx, 0, NULL, attr, n_attr, in, 7, out, states == 2 ? 3 : 2);
    r->y = out[0];
    r->h = out[1];
    r->c = states == 2 ? out[2] : SQZ_NONE;
}

/* ---- outputs ---- */

static sqz_vid transposed(sqz_klayer *l, sqz_vid x, const char *suffix, uint32_t n,
                          const int64_t *perm)
{
    return sqz_keras_node(l, "Transpose", suffix, SQZ_KA(SQZ_K_INTS("perm", n, perm)), SQZ_KI(x));
}

static sqz_vid squeezed(sqz_klayer *l, sqz_vid x, const char *suffix, int64_t axis)
{
    return sqz_keras_node(l, "Squeeze", suffix, NULL, 0, SQZ_KI(x, sqz_keras_ints(l, 1, &axis)));
}

/* Steps in the other order. */
static sqz_vid reversed(sqz_klayer *l, sqz_vid x, int64_t axis, const char *suffix)
{
    const int64_t start = -1, end = INT64_MIN + 1, step = -1;
    return sqz_keras_node(l, "Slice", suffix, NULL, 0,
                          SQZ_KI(x, sqz_keras_ints(l, 1, &start), sqz_keras_ints(l, 1, &end),
                                 sqz_keras_ints(l, 1, &axis), sqz_keras_ints(l, 1, &step)));
}

/* (N, T, I) to (T, N, I), turned around for go_backwards. */
static sqz_vid steps(sqz_klayer *l, bool backwards)
{
    const int64_t perm[] = {1, 0, 2};
    sqz_vid x = sqz_keras_plain(l, l->in[0]);
    if (l->status == SQZ_OK && sqz_val(l->k->g, x)->shape.rank != 3)
        sqz_keras_fail(l, SQZ_E_FORMAT, "its input has %d axes, expected 3",
                       (int)sqz_val(l->k->g, x)->shape.rank);
    x = transposed(l, x, "steps", 3, perm);
    return backwards ? reversed(l, x, 0, "backwards") : x;
}

static sqz_status recurrent(sqz_klayer *l)
{
    const int64_t perm[] = {1, 0, 2};
    bool all = sqz_kc_bool(l, "return_sequences", false);
    bool states = sqz_kc_bool(l, "return_state", false);
    rnn r = {.l = l, .n = 1, .cell = {cell_of(l)}};
    if (l->k->weights < 0)
        (void)sqz_keras_expect(l, 1);
    if (l->status != SQZ_OK)
        return l->status;
    node(&r, steps(l, sqz_kc_bool(l, "go_backwards", false)));
    if (all)
        sqz_keras_out(l, transposed(l, squeezed(l, r.y, "direction", 1), "batch", 3, perm), false);
    else
        sqz_keras_out(l, squeezed(l, r.h, "last", 0), false);
    if (states) {
        sqz_keras_out(l, squeezed(l, r.h, "state_h", 0), false);
        if (r.c != SQZ_NONE)
            sqz_keras_out(l, squeezed(l, r.c, "state_c", 0), false);
    }
    return l->status;
}

/* ---- Bidirectional ---- */

/* (..., 2, ...) at axis 0 of two halves. */
static sqz_vid half(sqz_klayer *l, sqz_vid x, int64_t axis, int64_t which, const char *suffix)
{
    char name[48];
    const int64_t end = which + 1;
    (void)snprintf(name, sizeof name, "%s_%s", suffix, which ? "backward" : "forward");
    x = sqz_keras_node(l, "Slice", name, NULL, 0,
                       SQZ_KI(x, sqz_keras_ints(l, 1, &which), sqz_keras_ints(l, 1, &end),
                              sqz_keras_ints(l, 1, &axis)));
    char flat[56];
    (void)snprintf(flat, sizeof flat, "%s_flat", name);
    return squeezed(l, x, flat, axis);
}

static void merged(sqz_klayer *l, sqz_vid a, sqz_vid b, const char *mode)
{
    sqz_vid y = SQZ_NONE;
    if (strcmp(mode, "concat") == 0)
        y = sqz_keras_node(l, "Concat", "merge", SQZ_KA(SQZ_K_INT("axis", -1)), SQZ_KI(a, b));
    else if (sqz_kc_is("sum|ave", mode))
        y = sqz_keras_node(l, "Add", "merge", NULL, 0, SQZ_KI(a, b));
    else if (strcmp(mode, "mul") == 0)
        y = sqz_keras_node(l, "Mul", "merge", NULL, 0, SQZ_KI(a, b));
    else
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "merge_mode '%.40s' is not supported", mode);
    if (strcmp(mode, "ave") == 0)
        y = sqz_keras_node(l, "Mul", "mean", NULL, 0, SQZ_KI(y, sqz_keras_number(l, 0.5)));
    sqz_keras_out(l, y, false);
}

/* One output of both directions for all steps: (T, 2, N, H) to (N, T, H) each. */
static sqz_vid direction(sqz_klayer *l, sqz_vid y, int64_t which)
{
    const int64_t perm[] = {1, 0, 2};
    return transposed(l, half(l, y, 1, which, "steps"), which ? "batch_backward" : "batch_forward",
                      3, perm);
}

static bool recurrent_class(const sqz_klayer *l) { return l->cls && l->cls->build == recurrent; }

static sqz_status bidirectional(sqz_klayer *l)
{
    sqz_klayer *fw = l->inner, *bw = fw ? fw + 1 : NULL;
    const cJSON *mode_item = cJSON_GetObjectItemCaseSensitive(l->config, "merge_mode");
    const char *mode = sqz_kc_str(l, "merge_mode", "concat");
    if (!fw) {
        sqz_keras_fail(l, SQZ_E_FORMAT, "it has no layer inside");
        return l->status;
    }
    if (!recurrent_class(fw) || !recurrent_class(bw) || fw->cls != bw->cls) {
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "it holds %.60s, expected LSTM, GRU or SimpleRNN",
                       fw->type);
        return l->status;
    }
    bool all = sqz_kc_bool(fw, "return_sequences", false);
    bool states = sqz_kc_bool(fw, "return_state", false);
    fw->status = bw->status = l->status;
    rnn r = {.l = l, .n = 2, .cell = {cell_of(fw), cell_of(bw)}};
    if (l->k->weights < 0)
        (void)sqz_keras_expect(l, 1);
    l->status = l->status != SQZ_OK ? l->status : fw->status != SQZ_OK ? fw->status : bw->status;
    if (r.cell[0].bias != r.cell[1].bias || r.cell[0].reset_after != r.cell[1].reset_after ||
        r.cell[0].units != r.cell[1].units || sqz_kc_bool(fw, "go_backwards", false) ||
        all != sqz_kc_bool(bw, "return_sequences", false))
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "its directions differ in more than their direction");
    if (l->status != SQZ_OK)
        return l->status;
    node(&r, steps(l, false));
    sqz_vid a = all ? direction(l, r.y, 0) : half(l, r.h, 0, 0, "last");
    sqz_vid b = all ? direction(l, r.y, 1) : half(l, r.h, 0, 1, "last");
    if (mode_item && cJSON_IsNull(mode_item)) {
        sqz_keras_out(l, a, false);
        sqz_keras_out(l, b, false);
    } else {
        merged(l, a, b, mode);
    }
    for (int64_t d = 0; states && d < 2; d++) {
        sqz_keras_out(l, half(l, r.h, 0, d, "state_h"), false);
        if (r.c != SQZ_NONE)
            sqz_keras_out(l, half(l, r.c, 0, d, "state_c"), false);
    }
    return l->status;
}

static const sqz_kclass classes[] = {
    {"LSTM", recurrent, LSTM, SQZ_K_MASK_USE},
    {"GRU", recurrent, GRU, SQZ_K_MASK_USE},
    {"SimpleRNN", recurrent, SIMPLE, SQZ_K_MASK_USE},
    {"CuDNNLSTM", recurrent, CUDNN_LSTM, SQZ_K_MASK_DROP},
    {"CuDNNGRU", recurrent, CUDNN_GRU, SQZ_K_MASK_DROP},
    {"Bidirectional", bidirectional, 0, SQZ_K_MASK_USE},
};
const sqz_kclasses sqz_keras_recurrent = {classes, SQZ_COUNT(classes)};
