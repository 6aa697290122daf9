/* keras_merge.c: layers with several inputs, and Merge of Keras 1. Tensors with channels are
 * brought to one order; where ranks differ, to Keras'. */
#include "io/keras.h"
#include <stdio.h>
#include <string.h>

enum { ADD, SUBTRACT, MULTIPLY, AVERAGE, MAXIMUM, MINIMUM, CONCATENATE, DOT, OLD_MERGE };

/* Merging layers give tensors of fewer axes more of length 1, after the batch. */
static bool widen(sqz_klayer *l)
{
    int32_t most = 0;
    for (uint32_t i = 0; i < l->n_in; i++)
        most = SQZ_MAX(most, sqz_keras_shape(l, l->in[i]).rank);
    for (uint32_t i = 0; i < l->n_in; i++) {
        int32_t rank = sqz_keras_shape(l, l->in[i]).rank;
        int64_t axes[SQZ_MAX_RANK];
        char suffix[32];
        if (rank == most)
            continue;
        for (int32_t k = 0; k < most - rank; k++)
            axes[k] = 1 + k;
        (void)snprintf(suffix, sizeof suffix, "wide_%u", i);
        sqz_vid v = sqz_keras_node(
            l, "Unsqueeze", suffix, NULL, 0,
            SQZ_KI(sqz_keras_plain(l, l->in[i]), sqz_keras_ints(l, (uint32_t)(most - rank), axes)));
        sqz_kval *wide = sqz_arena_alloc(&l->k->arena, 1, sizeof *wide);
        if (!wide)
            l->status = SQZ_E_NOMEM;
        if (l->status != SQZ_OK)
            return false;
        *wide = (sqz_kval){.plain = v, .first = SQZ_NONE};
        l->in[i] = wide;
    }
    return l->status == SQZ_OK;
}

/* All inputs in one order; false: an error. */
static bool operands(sqz_klayer *l, sqz_vid *out, bool *first)
{
    int32_t rank = sqz_keras_shape(l, l->in[0]).rank;
    bool some = false, same = rank >= 3, any;
    for (uint32_t i = 0; i < l->n_in; i++) {
        (void)sqz_keras_any(l, l->in[i], &any);
        some = some || any;
        same = same && sqz_keras_shape(l, l->in[i]).rank == rank;
    }
    *first = some && same;
    for (uint32_t i = 0; i < l->n_in; i++)
        out[i] = *first ? sqz_keras_first(l, l->in[i]) : sqz_keras_plain(l, l->in[i]);
    return l->status == SQZ_OK;
}

/* ((a + b) + c) ..., and a share of it for the mean. */
static sqz_vid chain(sqz_klayer *l, const char *type, const sqz_vid *x, double share)
{
    sqz_vid y = x[0];
    for (uint32_t i = 1; i < l->n_in; i++) {
        bool last = i + 1 == l->n_in && share == 1;
        char suffix[32];
        (void)snprintf(suffix, sizeof suffix, "part_%u", i);
        y = sqz_keras_node(l, type, last ? NULL : suffix, NULL, 0, SQZ_KI(y, x[i]));
    }
    if (share != 1)
        y = sqz_keras_node(l, "Mul", NULL, NULL, 0, SQZ_KI(y, sqz_keras_number(l, share)));
    return y;
}

static sqz_vid concatenate(sqz_klayer *l, const sqz_vid *x, bool first)
{
    int32_t rank = sqz_val(l->k->g, x[0])->shape.rank;
    int64_t axis = sqz_keras_axis(l, sqz_kc_int(l, "axis|concat_axis", -1), rank, first);
    if (axis == 0)
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "over the batch is not supported");
    return sqz_keras_node(l, "Concat", NULL, SQZ_KA(SQZ_K_INT("axis", axis)), x, l->n_in);
}

/* ---- Dot: a sum over one axis of each ---- */

static sqz_vid unit(sqz_klayer *l, sqz_vid x, const char *suffix, int64_t axis)
{
    char square[48], sum[48], root[48];
    (void)snprintf(square, sizeof square, "%s_square", suffix);
    (void)snprintf(sum, sizeof sum, "%s_sum", suffix);
    (void)snprintf(root, sizeof root, "%s_norm", suffix);
    const int64_t axes[1] = {axis};
    sqz_vid s = sqz_keras_node(l, "Mul", square, NULL, 0, SQZ_KI(x, x));
    s = sqz_keras_node(l, "ReduceSum", sum, SQZ_KA(SQZ_K_INT("keepdims", 1)),
                       SQZ_KI(s, sqz_keras_ints(l, 1, axes)));
    s = sqz_keras_node(l, "Max", root, NULL, 0, SQZ_KI(s, sqz_keras_number(l, 1e-12)));
    s = sqz_keras_node(l, "Sqrt", suffix, NULL, 0, SQZ_KI(s));
    return sqz_keras_node(l, "Div", NULL, NULL, 0, SQZ_KI(x, s));
}

/* Moves `axis` to the end (or, `front`, to place 1) of x. */
static sqz_vid moved(sqz_klayer *l, sqz_vid x, int64_t axis, bool front, const char *suffix)
{
    if (l->status != SQZ_OK)
        return SQZ_NONE;
    int32_t rank = sqz_val(l->k->g, x)->shape.rank, n = 0;
    int64_t perm[SQZ_MAX_RANK], to = front ? rank - 2 : rank - 1;
    if (axis == to)
        return x;
    for (int32_t i = 0; i < rank; i++)
        if (i != axis)
            perm[n++] = i;
    for (int32_t i = rank - 1; i > to; i--)
        perm[i] = perm[i - 1];
    perm[to] = axis;
    return sqz_keras_node(l, "Transpose", suffix, SQZ_KA(SQZ_K_INTS("perm", (uint32_t)rank, perm)),
                          SQZ_KI(x));
}

static sqz_status dot(sqz_klayer *l, bool normalize)
{
    const cJSON *item = sqz_kc_get(l->config, "axes|dot_axes");
    const sqz_shape a = sqz_keras_shape(l, l->in[0]);
    const sqz_shape b = sqz_keras_shape(l, l->in[l->n_in - 1]);
    int64_t v[SQZ_MAX_RANK] = {-1, -1};
    if (item && cJSON_IsArray(item) && item->child && cJSON_IsArray(item->child))
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "several axes are not supported");
    uint32_t n = item && l->status == SQZ_OK ? sqz_kc_list(l, item, -1, v) : 2;
    v[1] = n == 1 ? v[0] : v[1];
    if (l->n_in != 2 || a.rank < 2 || b.rank < 2 || a.rank > 3 || b.rank > 3)
        sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "takes two tensors of 2 or 3 axes");
    int64_t i = sqz_keras_axis(l, v[0], a.rank, false), j = sqz_keras_axis(l, v[1], b.rank, false);
    sqz_vid x = sqz_keras_plain(l, l->in[0]), y = sqz_keras_plain(l, l->in[l->n_in - 1]);
    if (normalize) {
        x = unit(l, x, "left", i);
        y = unit(l, y, "right", j);
    }
    const int64_t one[1] = {1}, two[1] = {2}, last[1] = {-1};
    if (a.rank == 2 && b.rank == 2) { /* (N, K), (N, K) -> (N, 1) */
        sqz_vid p = sqz_keras_node(l, "Mul", "product", NULL, 0, SQZ_KI(x, y));
        p = sqz_keras_node(l, "ReduceSum", NULL, SQZ_KA(SQZ_K_INT("keepdims", 1)),
                           SQZ_KI(p, sqz_keras_ints(l, 1, last)));
        sqz_keras_out(l, p, false);
        return l->status;
    }
    if (a.rank == 2)
        x = sqz_keras_node(l, "Unsqueeze", "left_row", NULL, 0,
                           SQZ_KI(x, sqz_keras_ints(l, 1, one)));
    else
        x = moved(l, x, i, false, "left_turned");
    if (b.rank == 2)
        y = sqz_keras_node(l, "Unsqueeze", "right_column", NULL, 0,
                           SQZ_KI(y, sqz_keras_ints(l, 1, two)));
    else
        y = moved(l, y, j, true, "right_turned");
    bool flat = a.rank == 2 || b.rank == 2;
    sqz_vid p = sqz_keras_node(l, "MatMul", flat ? "product" : NULL, NULL, 0, SQZ_KI(x, y));
    if (flat)
        p = sqz_keras_node(l, "Squeeze", NULL, NULL, 0,
                           SQZ_KI(p, sqz_keras_ints(l, 1, a.rank == 2 ? one : two)));
    sqz_keras_out(l, p, false);
    return l->status;
}

/* ---- the layers ---- */

static int old_mode(sqz_klayer *l)
{
    static const char *const mode[] = {
        [ADD] = "sum",     [SUBTRACT] = "-",  [MULTIPLY] = "mul",       [AVERAGE] = "ave",
        [MAXIMUM] = "max", [MINIMUM] = "min", [CONCATENATE] = "concat", [DOT] = "dot"};
    const char *own = sqz_kc_str(l, "mode", "sum");
    for (int i = 0; i <= DOT; i++)
        if (strcmp(mode[i], own) == 0)
            return i;
    sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "mode '%.40s' is not supported", own);
    return ADD;
}

static sqz_status merge(sqz_klayer *l)
{
    static const char *const type[] = {[ADD] = "Add",     [SUBTRACT] = "Sub", [MULTIPLY] = "Mul",
                                       [AVERAGE] = "Add", [MAXIMUM] = "Max",  [MINIMUM] = "Min"};
    sqz_vid *x = sqz_arena_alloc(&l->k->arena, (size_t)l->n_in + 1, sizeof *x), y;
    bool first, old = l->cls->arg == OLD_MERGE;
    int kind = old ? old_mode(l) : l->cls->arg;
    if (!x)
        return SQZ_E_NOMEM;
    if (kind == DOT)
        return dot(l, !old && sqz_kc_bool(l, "normalize", false));
    if ((kind != CONCATENATE && !widen(l)) || !operands(l, x, &first))
        return l->status;
    if (kind == SUBTRACT && l->n_in != 2)
        sqz_keras_fail(l, SQZ_E_FORMAT, "it has %u inputs, expected 2", l->n_in);
    if (kind == CONCATENATE)
        y = concatenate(l, x, first);
    else
        y = chain(l, type[kind], x, kind == AVERAGE ? 1.0 / l->n_in : 1);
    sqz_keras_out(l, y, first);
    return l->status;
}

/* tf.add(x, y) and the like between layers. One operand may be a number: y in kwargs, or x before
 * the tensor. */
static sqz_status lambda_op(sqz_klayer *l)
{
    static const struct op {
        const char *names, *type;
        bool unary;
    } ops[] = {{"math.add|__operators__.add|add", "Add", false},
               {"math.subtract|subtract", "Sub", false},
               {"math.multiply|multiply", "Mul", false},
               {"math.truediv|math.divide|divide", "Div", false},
               {"nn.relu|keras.activations.relu", "Relu", true},
               {"nn.sigmoid|math.sigmoid", "Sigmoid", true},
               {"nn.tanh|math.tanh|tanh", "Tanh", true}};
    const char *name = sqz_kc_str(l, "function", "");
    const cJSON *number = l->constant ? l->constant : sqz_kc_get(l->kwargs, "y");
    for (size_t i = 0; i < SQZ_COUNT(ops) && l->n_in <= 2; i++) {
        sqz_vid x[2] = {SQZ_NONE, SQZ_NONE};
        bool first, alone = l->n_in == 1;
        if (!sqz_kc_is(ops[i].names, name))
            continue;
        if (ops[i].unary ? !alone : alone && !(number && cJSON_IsNumber(number)))
            break;
        if (!operands(l, x, &first))
            return l->status;
        if (!ops[i].unary && alone)
            x[1] = sqz_keras_number(l, number->valuedouble);
        if (!ops[i].unary && alone && l->constant) {
            sqz_vid t = x[0];
            x[0] = x[1];
            x[1] = t;
        }
        sqz_keras_out(l, sqz_keras_node(l, ops[i].type, NULL, NULL, 0, x, 2), first);
        return l->status;
    }
    sqz_keras_fail(l, SQZ_E_UNSUPPORTED, "the function tf.%.60s is not supported: %s", name,
                   sqz_keras_advice("a function"));
    return l->status;
}

static const sqz_kclass classes[] = {
    {"Add", merge, ADD, SQZ_K_MASK_PASS},
    {"Subtract", merge, SUBTRACT, SQZ_K_MASK_PASS},
    {"Multiply", merge, MULTIPLY, SQZ_K_MASK_PASS},
    {"Average", merge, AVERAGE, SQZ_K_MASK_PASS},
    {"Maximum", merge, MAXIMUM, SQZ_K_MASK_PASS},
    {"Minimum", merge, MINIMUM, SQZ_K_MASK_PASS},
    {"Concatenate", merge, CONCATENATE, SQZ_K_MASK_PASS},
    {"Dot", merge, DOT, SQZ_K_MASK_DROP},
    {"Merge", merge, OLD_MERGE, SQZ_K_MASK_PASS},
    {"TFOpLambda", lambda_op, 0, SQZ_K_MASK_DROP},
};
const sqz_kclasses sqz_keras_merge = {classes, SQZ_COUNT(classes)};
