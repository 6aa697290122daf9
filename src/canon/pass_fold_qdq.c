/* pass_fold_qdq.c: operators between DequantizeLinear and QuantizeLinear become integer operators.
 *
 *     dequantize -> op -> quantize            =>   op on integers
 *     dequantize -> op -> clamp -> quantize   =>   op, clamp on integers, on one grid
 *
 * Only where the integer form computes the same: the operator's quantization rule must hold for the
 * grids that the file gives. Everything else stays float between its dequantize and quantize. Then
 * kernels see int8 only: uint8 values are shifted by 128, and remembered for export. */
#include "canon/qdq.h"
#include "ir/pass.h"
#include "ops/move.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- small questions ---- */

bool sqz_qdq_is_op(const sqz_node *n, const char *name)
{
    return strcmp(n->op->info.name, name) == 0;
}

static bool is_copy(const sqz_node *n)
{
    return sqz_qdq_is_op(n, "identity") || sqz_qdq_is_op(n, "dropout");
}

/* The dequantize node that makes `v`, or NULL. */
const sqz_node *sqz_qdq_source(const sqz_qdq_work *w, sqz_vid v)
{
    sqz_nid p = v == SQZ_NONE ? SQZ_NONE : sqz_val(w->g, v)->producer;
    return p != SQZ_NONE && sqz_qdq_is_op(sqz_nod(w->g, p), "dequantize") ? sqz_nod(w->g, p) : NULL;
}

bool sqz_qdq_same_grid(const sqz_quant *a, const sqz_quant *b)
{
    return a->axis < 0 && b->axis < 0 && a->scale[0] == b->scale[0] && a->zero[0] == b->zero[0];
}

/* No zero points, and no negative scales. */
static bool is_symmetric(const sqz_quant *q)
{
    for (uint32_t i = 0; i < q->n; i++)
        if (q->zero[i] || q->scale[i] < 0.0f)
            return false;
    return true;
}

/* An int8 value with one scale. */
bool sqz_qdq_is_activation(const sqz_value *v)
{
    return v->dtype == SQZ_S8 && v->quant && v->quant->axis < 0 && !v->quant->group;
}

bool sqz_qdq_has_integer_form(const sqz_op *op)
{
    return op->quant.kind != SQZ_Q_FLOAT &&
           (op->run_int || (op->traits & (SQZ_T_MOVES | SQZ_T_VIEW)));
}

/* Input k carries an activation. */
bool sqz_qdq_is_data(const sqz_node *n, unsigned k)
{
    const sqz_qrule *q = &n->op->quant;
    if (q->data_inputs)
        return q->data_inputs >> k & 1;
    bool all = q->kind == SQZ_Q_SAME || q->kind == SQZ_Q_REALIGN;
    return all || k == 0;
}

/* ---- where the results go ---- */

typedef struct sink {
    sqz_vid clamp;  /* output of the clamp between, or SQZ_NONE */
    sqz_vid result; /* integer value that a quantize node writes */
} sink;

/* All readers of `v` are quantize nodes to one int8 grid: the first one's result. */
static sqz_vid quantized(const sqz_qdq_work *w, sqz_vid v)
{
    sqz_vid out = SQZ_NONE;
    for (uint32_t i = w->u.first[v]; i < w->u.first[v + 1]; i++) {
        const sqz_node *q = w->u.node[i] == SQZ_NONE ? NULL : sqz_nod(w->g, w->u.node[i]);
        if (!q || !sqz_qdq_is_op(q, "quantize") || !sqz_qdq_is_activation(sqz_val(w->g, q->out[0])))
            return SQZ_NONE;
        if (out == SQZ_NONE)
            out = q->out[0];
        else if (!sqz_qdq_same_grid(sqz_val(w->g, out)->quant, sqz_val(w->g, q->out[0])->quant) ||
                 sqz_val(w->g, out)->was_u8 != sqz_val(w->g, q->out[0])->was_u8)
            return SQZ_NONE;
    }
    return out;
}

static bool find_sink(const sqz_qdq_work *w, sqz_vid v, sink *out)
{
    *out = (sink){SQZ_NONE, quantized(w, v)};
    if (out->result != SQZ_NONE)
        return true;
    if (sqz_n_uses(&w->u, v) != 1 || w->u.node[w->u.first[v]] == SQZ_NONE)
        return false;
    const sqz_node *n = sqz_nod(w->g, w->u.node[w->u.first[v]]);
    if (!(n->op->traits & SQZ_T_RELU_LIKE) || !sqz_qdq_has_integer_form(n->op) || n->n_out != 1 ||
        n->in[0] != v)
        return false;
    *out = (sink){n->out[0], quantized(w, n->out[0])};
    return out->result != SQZ_NONE;
}

/* ---- does the rule hold ---- */

/* channel_axis counts axes of channel-last weights; the pass also runs before the layout does. */
static int32_t channel_axis(const sqz_node *n, const sqz_value *weight)
{
    int32_t rank = weight->shape.rank, axis = n->op->quant.channel_axis;
    axis += axis < 0 ? rank : 0;
    bool moves = n->op->layout == SQZ_L_CHANNELS && rank >= 3 && !weight->channel_last;
    return moves ? sqz_axis_to_file(axis, rank) : axis;
}

static bool weight_fits(const sqz_node *n, const sqz_value *v)
{
    const sqz_quant *q = v->quant;
    return v->constant && (v->dtype == SQZ_S8 || v->dtype == SQZ_S4) && q && !q->group &&
           is_symmetric(q) && (q->axis < 0 || q->axis == channel_axis(n, v));
}

/* Scale of the accumulator for output channel c. */
static double product(const sqz_quant *x, const sqz_quant *w, uint32_t c)
{
    return (double)x->scale[0] * (double)w->scale[w->n == 1 ? 0 : c];
}

static bool bias_fits(const sqz_value *b, const sqz_quant *x, const sqz_quant *w)
{
    const sqz_quant *q = b->quant;
    if (!b->constant || b->dtype != SQZ_S32 || !q || q->group || !is_symmetric(q) ||
        (q->n > 1 && q->n != b->constant->count))
        return false;
    if (w->n > 1 && w->n != b->constant->count)
        return false;
    for (uint32_t c = 0; c < b->constant->count; c++) {
        double want = product(x, w, c), have = (double)q->scale[q->n == 1 ? 0 : c];
        if (fabs(have - want) > 1e-6 * want)
            return false;
    }
    return true;
}

/* A float bias can be put on the accumulator's grid; nobody can tell half a step of it. */
static bool float_bias_fits(const sqz_value *b, const sqz_quant *x, const sqz_quant *w)
{
    if (!b->constant || b->dtype != SQZ_F32 || (w->n > 1 && w->n != b->constant->count))
        return false;
    for (uint32_t c = 0; c < b->constant->count; c++)
        if (!(fabs((double)SQZ_F32P(b->constant)[c]) < product(x, w, c) * 0x1p30))
            return false;
    return true;
}

/* No sum of products and bias leaves 32 bits, for any input. Other tools saturate the bias of an
 * output whose weights are next to nothing. */
static bool sums_fit(const sqz_node *n, const sqz_value *w, const sqz_value *b, const sqz_quant *x)
{
    const sqz_split3 s = sqz_split_at(&w->shape, channel_axis(n, w));
    for (size_t c = 0; c < s.n; c++) {
        int64_t size = 0, bias = 0;
        for (size_t o = 0; o < s.outer; o++)
            for (size_t i = 0; i < s.inner; i++)
                size += llabs(sqz_tensor_i64(w->constant, (o * s.n + c) * s.inner + i));
        if (b && b->dtype == SQZ_S32)
            bias = llabs((int64_t)SQZ_S32P(b->constant)[b->constant->count == 1 ? 0 : c]);
        else if (b)
            bias = llrint(fabs((double)SQZ_F32P(b->constant)[b->constant->count == 1 ? 0 : c]) /
                          product(x, w->quant, (uint32_t)c));
        if (255 * size + bias > INT32_MAX)
            return false;
    }
    return true;
}

/* What dequantize reads, where `v` is its result; else `v` itself. */
static const sqz_value *under(const sqz_qdq_work *w, sqz_vid v)
{
    const sqz_node *d = sqz_qdq_source(w, v);
    return sqz_val(w->g, d ? d->in[0] : v);
}

static bool linear_fits(const sqz_qdq_work *w, const sqz_node *n)
{
    const sqz_qrule *r = &n->op->quant;
    unsigned ws = (unsigned)r->weight, bs = (unsigned)r->bias;
    const sqz_value *x = under(w, n->in[0]), *weight = NULL, *bias = NULL;
    if (ws) {
        if (ws >= n->n_in || !sqz_qdq_source(w, n->in[ws]))
            return false;
        weight = under(w, n->in[ws]);
        if (!weight_fits(n, weight))
            return false;
    }
    if (bs && bs < n->n_in && n->in[bs] != SQZ_NONE)
        bias = under(w, n->in[bs]);
    if (bias && !(weight && (bias_fits(bias, x->quant, weight->quant) ||
                             float_bias_fits(bias, x->quant, weight->quant))))
        return false;
    return !weight || sums_fit(n, weight, bias, x->quant);
}

bool sqz_qdq_inputs_fit(const sqz_qdq_work *w, const sqz_node *n, const sqz_quant *y)
{
    const sqz_qrule *r = &n->op->quant;
    unsigned data = 0;
    for (unsigned k = 0; k < n->n_in; k++) {
        if (n->in[k] == SQZ_NONE || !sqz_qdq_is_data(n, k) ||
            (k && (k == (unsigned)r->weight || k == (unsigned)r->bias)))
            continue;
        const sqz_node *d = sqz_qdq_source(w, n->in[k]);
        const sqz_value *x = d ? sqz_val(w->g, d->in[0]) : NULL;
        if (!x || !sqz_qdq_is_activation(x) ||
            (r->kind == SQZ_Q_SAME && !sqz_qdq_same_grid(x->quant, y)))
            return false;
        data++;
    }
    return data > 0;
}

static bool rule_holds(const sqz_qdq_work *w, const sqz_node *n, const sqz_quant *y)
{
    const sqz_qrule *r = &n->op->quant;
    if (!sqz_qdq_inputs_fit(w, n, y))
        return is_copy(n) && sqz_qdq_source(w, n->in[0]) &&
               sqz_qdq_is_activation(under(w, n->in[0])); /* from one grid to another */
    if (r->kind == SQZ_Q_FIXED)
        return y->scale[0] == r->fixed_scale && y->zero[0] == r->fixed_zero;
    return r->kind != SQZ_Q_LINEAR || linear_fits(w, n);
}

/* ---- rewriting ---- */

/* The value becomes the integer value `like`: same grid, its own name. */
sqz_status sqz_qdq_to_integers(sqz_qdq_work *w, sqz_vid v, const sqz_value *like)
{
    sqz_value *val = sqz_val(w->g, v);
    const sqz_quant *q = like->quant;
    val->dtype = SQZ_S8;
    val->was_u8 = like->was_u8;
    return sqz_value_set_quant(w->g, v, SQZ_S8, -1, 1, q->scale, q->zero);
}

/* Every quantize node behind `v` goes; its readers, and the graph's outputs, read `v`. */
sqz_status sqz_qdq_take_over(sqz_qdq_work *w, sqz_vid v)
{
    sqz_graph *g = w->g;
    for (uint32_t i = w->u.first[v]; i < w->u.first[v + 1]; i++) {
        sqz_nid id = w->u.node[i];
        if (id == SQZ_NONE || !sqz_qdq_is_op(sqz_nod(g, id), "quantize"))
            continue;
        sqz_vid old = sqz_nod(g, id)->out[0];
        const char *shown = NULL;
        for (uint32_t k = w->u.first[old]; k < w->u.first[old + 1]; k++) {
            if (w->u.node[k] == SQZ_NONE) {
                g->output[w->u.slot[k]] = v;
                shown = sqz_val(g, old)->name;
            } else {
                sqz_nod(g, w->u.node[k])->in[w->u.slot[k]] = v;
            }
        }
        sqz_graph_remove(g, id);
        if (shown) /* the file's output keeps its name; of two names the first */
            SQZ_TRY(sqz_graph_find(g, shown) == SQZ_NONE ? sqz_graph_rename(g, v, shown) : SQZ_OK);
    }
    return SQZ_OK;
}

/* A float bias on the accumulator's grid, as a new constant. */
static sqz_status put_bias(sqz_qdq_work *w, sqz_node *n, unsigned slot)
{
    const sqz_value *b = sqz_val(w->g, n->in[slot]);
    const sqz_quant *x = sqz_val(w->g, n->in[0])->quant;
    const sqz_quant *wq = sqz_val(w->g, n->in[n->op->quant.weight])->quant;
    uint32_t count = (uint32_t)b->constant->count;
    float *scale = sqz_arena_alloc(w->a, (size_t)count + 1, sizeof *scale);
    int32_t *zero = sqz_arena_alloc(w->a, (size_t)count + 1, sizeof *zero);
    sqz_tensor t;
    sqz_vid out;
    if (!scale || !zero)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_tensor_alloc(w->g->ctx, SQZ_S32, &b->shape, &t));
    for (uint32_t c = 0; c < count; c++) {
        double s = product(x, wq, c);
        SQZ_S32P(&t)[c] = (int32_t)nearbyint((double)SQZ_F32P(b->constant)[c] / s);
        scale[c] = (float)s;
    }
    SQZ_TRY(sqz_graph_constant(w->g, b->name, &t, &out));
    n->in[slot] = out;
    bool each = wq->n > 1 && count > 1;
    return sqz_value_set_quant(w->g, out, SQZ_S32, each ? 0 : -1, each ? count : 1, scale, zero);
}

/* Reads the integers behind the dequantize nodes. */
static sqz_status read_integers(sqz_qdq_work *w, sqz_node *n)
{
    const sqz_qrule *r = &n->op->quant;
    for (unsigned k = 0; k < n->n_in; k++) {
        const sqz_node *d = sqz_qdq_source(w, n->in[k]);
        bool linear = k && (k == (unsigned)r->weight || k == (unsigned)r->bias);
        if (d && (sqz_qdq_is_data(n, k) || linear))
            n->in[k] = d->in[0];
    }
    unsigned b = (unsigned)r->bias;
    if (r->kind == SQZ_Q_LINEAR && b && b < n->n_in && n->in[b] != SQZ_NONE &&
        sqz_val(w->g, n->in[b])->dtype == SQZ_F32)
        return put_bias(w, n, b);
    return SQZ_OK;
}

/* MatMul and the Add of a constant row behind it, whose sum is quantized, are one product with a
 * bias where that has an integer form. */
static sqz_status join_bias(sqz_qdq_work *w, sqz_nid id)
{
    sqz_node *n = sqz_nod(w->g, id);
    const sqz_vid y = n->out[0];
    sink to;
    if (!sqz_qdq_is_op(n, "matmul") || n->n_in != 2 || sqz_n_uses(&w->u, y) != 1 ||
        w->u.node[w->u.first[y]] == SQZ_NONE)
        return SQZ_OK;
    const sqz_nid add = w->u.node[w->u.first[y]];
    sqz_node *s = sqz_nod(w->g, add);
    if (!sqz_qdq_is_op(s, "add") || s->n_in != 2)
        return SQZ_OK;
    const sqz_vid bias = s->in[s->in[0] == y ? 1 : 0];
    const sqz_value *b = under(w, bias), *b_real = sqz_val(w->g, bias);
    const int64_t columns = sqz_val(w->g, n->in[1])->shape.dim[1];
    sqz_vid in[3] = {n->in[0], n->in[1], bias};
    sqz_node both = *n;
    both.in = in;
    both.n_in = 3;
    both.out = s->out;
    if (sqz_val(w->g, n->in[1])->shape.rank != 2 || !b->constant || b_real->shape.rank != 1 ||
        b_real->shape.dim[0] != columns || b_real->dtype != SQZ_F32 ||
        !find_sink(w, s->out[0], &to) || !rule_holds(w, &both, sqz_val(w->g, to.result)->quant))
        return SQZ_OK;
    n->in = sqz_arena_alloc(&w->g->arena, 3, sizeof *n->in);
    if (!n->in)
        return SQZ_E_NOMEM;
    memcpy(n->in, in, sizeof in);
    n->n_in = 3;
    n->out[0] = s->out[0];
    sqz_val(w->g, n->out[0])->producer = id;
    s->n_out = 0; /* its output lives on */
    sqz_graph_remove(w->g, add);
    sqz_graph_remove_value(w->g, y);
    return SQZ_OK;
}

static sqz_status fold(sqz_qdq_work *w, sqz_nid id)
{
    sqz_node *n = sqz_nod(w->g, id);
    sink to[UINT8_MAX];
    if (sqz_qdq_is_op(n, "quantize") || sqz_qdq_is_op(n, "dequantize") ||
        !sqz_qdq_has_integer_form(n->op) || !n->n_in || n->n_out > SQZ_COUNT(to))
        return SQZ_OK;
    for (unsigned i = 0; i < n->n_out; i++)
        if (sqz_val(w->g, n->out[i])->dtype != SQZ_F32 || !find_sink(w, n->out[i], &to[i]) ||
            !rule_holds(w, n, sqz_val(w->g, to[i].result)->quant))
            return SQZ_OK;
    const sqz_value *x = under(w, n->in[0]);
    if (is_copy(n) &&
        !sqz_qdq_same_grid(x->quant, sqz_val(w->g, to[0].result)->quant))
        n->op = sqz_op_find("requantize");
    SQZ_TRY(read_integers(w, n));
    for (unsigned i = 0; i < n->n_out; i++) {
        const sqz_value like = *sqz_val(w->g, to[i].result);
        sqz_vid last = to[i].clamp == SQZ_NONE ? n->out[i] : to[i].clamp;
        SQZ_TRY(sqz_qdq_to_integers(w, n->out[i], &like));
        if (last != n->out[i])
            SQZ_TRY(sqz_qdq_to_integers(w, last, &like));
        SQZ_TRY(sqz_qdq_take_over(w, last));
    }
    w->folded++;
    return SQZ_OK;
}

/* ---- sweeping up ---- */

static bool is_shown(const sqz_graph *g, sqz_vid v)
{
    for (uint32_t i = 0; i < g->n_output; i++)
        if (g->output[i] == v)
            return true;
    return false;
}

/* quantize(dequantize(v)) on the grid of v is v; on another grid it is one step on integers. */
static void shorten_round_trips(sqz_qdq_work *w)
{
    sqz_graph *g = w->g;
    SQZ_EACH_NODE(g, id)
    {
        sqz_node *q = sqz_nod(g, id);
        const sqz_node *d = sqz_qdq_is_op(q, "quantize") ? sqz_qdq_source(w, q->in[0]) : NULL;
        if (!d)
            continue;
        const sqz_value *from = sqz_val(g, d->in[0]), *to = sqz_val(g, q->out[0]);
        if (!sqz_qdq_is_activation(from) || from->constant || !sqz_qdq_is_activation(to))
            continue;
        if (sqz_qdq_same_grid(from->quant, to->quant) && from->was_u8 == to->was_u8 &&
            !is_shown(g, q->out[0])) {
            sqz_graph_replace_uses(g, q->out[0], d->in[0]);
            sqz_graph_remove(g, id);
        } else {
            q->op = sqz_op_find("requantize");
            q->attrs = NULL;
            q->in[0] = d->in[0];
        }
        w->folded++;
    }
}

/* Dequantize nodes that nobody reads go. Those of 32-bit constants become float constants, of the
 * same size; smaller integers stay: float operators read their dequantization. */
static sqz_status sweep(sqz_qdq_work *w)
{
    sqz_graph *g = w->g;
    SQZ_TRY(sqz_uses_build(g, w->a, &w->u));
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        if (!sqz_qdq_is_op(n, "dequantize"))
            continue;
        if (sqz_n_uses(&w->u, n->out[0]) == 0)
            sqz_graph_remove(g, id);
        else if (sqz_val(g, n->in[0])->constant && sqz_val(g, n->in[0])->dtype == SQZ_S32)
            SQZ_TRY(sqz_fold_node(g, id));
    }
    SQZ_TRY(sqz_uses_build(g, w->a, &w->u));
    for (sqz_vid v = 0; v < g->n_value; v++) /* weights that only dequantize nodes read */
        if (sqz_val(g, v)->constant && sqz_val(g, v)->quant && sqz_n_uses(&w->u, v) == 0)
            sqz_graph_remove_value(g, v);
    return SQZ_OK;
}

typedef struct options {
    int64_t literal;
} options;
static const sqz_attr schema[] = {
    {.name = "literal",
     .offset = offsetof(options, literal),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "operators stay float between their pairs, as ONNX defines them: only codes that are "
            "handed on are integers"},
};

static sqz_status rewrite(sqz_qdq_work *w, const options *o)
{
    SQZ_TRY(sqz_uses_build(w->g, w->a, &w->u));
    SQZ_TRY(sqz_qdq_spread(w));
    if (!o->literal) {
        SQZ_TRY(sqz_qdq_hoist(w));
        for (sqz_nid id = 0; id < w->g->n_node; id++)
            if (!sqz_nod(w->g, id)->dead)
                SQZ_TRY(join_bias(w, id));
        SQZ_EACH_NODE(w->g, id) { SQZ_TRY(fold(w, id)); }
        shorten_round_trips(w);
    }
    return sweep(w);
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    (void)env;
    bool any = false;
    SQZ_EACH_NODE(g, id) { any = any || sqz_qdq_is_op(sqz_nod(g, id), "dequantize"); }
    if (!any)
        return SQZ_OK;
    sqz_arena a = {.ctx = g->ctx};
    sqz_qdq_work w = {.g = g, .a = &a};
    sqz_status s = rewrite(&w, opts);
    if (s == SQZ_OK && w.folded)
        g->have |= SQZ_HAS_QUANT;
    sqz_arena_free(&a);
    return s;
}

const sqz_pass sqz_pass_fold_qdq = {
    .info = {.name = "fold_qdq",
             .doc = "quantize/dequantize pairs around operators to integers",
             .opt_size = sizeof(options),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .run = run,
};
