/* ptq_dynamic.c: products of int8 weights and activations whose grid is found at every run, from
 * their own extremes. As ONNX Runtime writes it:
 *
 *     x -> dynamic_quantize -> x_q, s_x, z_x
 *     y = float(conv_integer or matmul_integer(x_q, w_q, z_x)) * (s_x * s_w) + bias */
#include "quant/ptq.h"
#include "quant/wgrid.h"
#include <stdlib.h>
#include <string.h>

#define VALUES 16 /* new ones for a product: 11 */

typedef struct dynamic {
    sqz_ptq *p;
    sqz_vid (*data)[3]; /* by value, new ones too: codes, scale, zero point; SQZ_NONE: not made */
    size_t room;
} dynamic;

static bool is_op(const sqz_node *n, const char *op) { return strcmp(n->op->info.name, op) == 0; }
static bool is_conv(const sqz_node *n) { return is_op(n, "conv2d") || is_op(n, "dwconv2d"); }

/* ---- the weights ---- */

/* Codes and grid of the weights; in the order of matmul_integer where they are a matrix. */
static sqz_status code_weights(const sqz_ptq *p, const sqz_node *n, sqz_arena *a, sqz_tensor *codes,
                               sqz_quant *q)
{
    const sqz_value *w = sqz_val(p->g, n->in[n->op->quant.weight]);
    const int32_t c = n->op->quant.channel_axis, axis = c < 0 ? w->shape.rank + c : c;
    const sqz_wspec spec = {8, p->o->per_tensor ? -1 : axis, 0,
                            sqz_ptq_rule(p, (sqz_scheme){.bits = 8}), p->o->pow2 != 0};
    sqz_range unused;
    size_t masked;
    sqz_tensor turned;
    SQZ_TRY(sqz_ptq_constant_range(p, n->in[n->op->quant.weight], &unused, &masked));
    SQZ_TRY(sqz_weight_grid(p->g->ctx, a, w->constant, &spec, q));
    SQZ_TRY(sqz_weight_codes(p->g->ctx, w->constant, q, codes));
    if (!is_op(n, "gemm"))
        return SQZ_OK;
    const sqz_status s = sqz_tensor_permute(p->g->ctx, codes, (const int[]){1, 0}, &turned);
    sqz_tensor_free(p->g->ctx, codes);
    *codes = turned;
    return s;
}

/* Sums of 255 * |code| over the terms of each output fit 32 bits. Outputs of `codes` are apart by
 * `step` and have `n` of their numbers next to each other. */
static bool sums_fit(const sqz_tensor *codes, bool rows)
{
    const size_t outputs = (size_t)codes->shape.dim[rows ? 0 : 1], terms = codes->count / outputs;
    for (size_t o = 0; o < outputs; o++) {
        int64_t sum = 0;
        for (size_t t = 0; t < terms; t++)
            sum += abs(SQZ_S8P(codes)[rows ? o * terms + t : t * outputs + o]);
        if (255 * sum > INT32_MAX)
            return false;
    }
    return true;
}

/* A list of one number for each output channel, to be broadcast along the last axis of y. */
static sqz_status put_list(const sqz_ptq *p, const char *name, const float *x, size_t n,
                           const sqz_value *y, sqz_vid *out)
{
    const bool last = y->channel_last;
    sqz_shape s = {.rank = last ? y->shape.rank : n == 1 ? 0 : 1};
    sqz_tensor t;
    for (int32_t i = 0; i < s.rank; i++)
        s.dim[i] = i == s.rank - 1 ? (int64_t)n : 1;
    SQZ_TRY(sqz_tensor_alloc(p->g->ctx, SQZ_F32, &s, &t));
    memcpy(t.data, x, n * sizeof *x);
    SQZ_TRY(sqz_graph_constant(p->g, name, &t, out));
    sqz_val(p->g, *out)->channel_last = last;
    return SQZ_OK;
}

/* ---- the nodes ---- */

/* The codes of x, its scale and its zero point: once for all that read x. */
static sqz_status quantize_data(dynamic *d, sqz_vid x, sqz_nid before, const sqz_vid **out)
{
    sqz_graph *g = d->p->g;
    const sqz_op *op = sqz_op_find("dynamic_quantize");
    const char *name = sqz_arena_printf(d->p->a, "%s_dynamic", sqz_val(g, x)->name);
    if (x >= d->room)
        return sqz_fail(g->ctx, SQZ_E_INTERNAL, "more values than were counted");
    *out = d->data[x];
    if (d->data[x][0] != SQZ_NONE)
        return SQZ_OK;
    if (!op)
        return sqz_fail(g->ctx, SQZ_E_INTERNAL, "there is no operator 'dynamic_quantize'");
    if (!name)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_graph_node(g, op, name, NULL, &x, 1, NULL, 3, before, &d->data[x][0]));
    const sqz_node *n = sqz_nod(g, sqz_val(g, d->data[x][0])->producer);
    memcpy(d->data[x], n->out, sizeof d->data[x]);
    sqz_val(g, d->data[x][0])->channel_last = sqz_val(g, x)->channel_last;
    return SQZ_OK;
}

static sqz_status product_attrs(const sqz_ptq *p, const sqz_node *n, sqz_str *text)
{
    if (!is_conv(n))
        return SQZ_OK;
    sqz_opts_print(text, &n->op->info, n->attrs);
    if (is_op(n, "dwconv2d")) {
        const sqz_shape *x = &sqz_val(p->g, n->in[0])->shape;
        sqz_str_addf(text, " group=%lld", (long long)x->dim[x->rank - 1]);
    }
    return text->status;
}

static sqz_status node(const sqz_ptq *p, const char *op, const char *attrs, sqz_vid a, sqz_vid b,
                       sqz_nid before, sqz_vid *out)
{
    const sqz_vid in[2] = {a, b};
    return sqz_graph_node_text(p->g, op, NULL, attrs, in, b == SQZ_NONE ? 1 : 2, before, out);
}

/* v takes the place of y: its readers, its twins and its name. */
static sqz_status replace(const sqz_ptq *p, sqz_nid id, sqz_vid y, sqz_vid v)
{
    sqz_graph *g = p->g;
    const sqz_value *old = sqz_val(g, y);
    const char *name = sqz_arena_strdup(p->a, old->name);
    if (!name)
        return SQZ_E_NOMEM;
    sqz_val(g, v)->twin = old->twin;
    sqz_val(g, v)->extra = old->extra;
    sqz_graph_replace_uses(g, y, v);
    for (sqz_vid t = 0; t < g->n_value; t++)
        if (sqz_val(g, t)->twin == y)
            sqz_val(g, t)->twin = v;
    sqz_graph_remove(g, id);
    if (!sqz_value_dead(sqz_val(g, y)) || sqz_graph_find(g, name) == y)
        sqz_graph_remove_value(g, y);
    return sqz_graph_rename(g, v, name);
}

static sqz_status rewrite(dynamic *d, sqz_nid id, sqz_tensor *codes, const sqz_quant *q)
{
    const sqz_ptq *p = d->p;
    sqz_graph *g = p->g;
    const sqz_node *n = sqz_nod(g, id);
    const sqz_vid x = n->in[0], y = n->out[0];
    const sqz_value *w = sqz_val(g, n->in[n->op->quant.weight]);
    const int bias = n->op->quant.bias;
    const sqz_vid b = bias && bias < n->n_in ? n->in[bias] : SQZ_NONE;
    const sqz_vid *data = NULL;
    sqz_str attrs = {.ctx = g->ctx};
    sqz_vid in[3], v, scale, list;
    SQZ_TRY(sqz_graph_constant(g, w->name, codes, &in[1]));
    sqz_val(g, in[1])->channel_last = w->channel_last;
    SQZ_TRY(quantize_data(d, x, id, &data));
    in[0] = data[0];
    in[2] = data[2];
    sqz_status s = product_attrs(p, n, &attrs);
    if (s == SQZ_OK)
        s = sqz_graph_node_text(g, is_conv(n) ? "conv_integer" : "matmul_integer", NULL,
                                attrs.data ? attrs.data : "", in, 3, id, &v);
    sqz_str_free(&attrs);
    SQZ_TRY(s);
    sqz_val(g, v)->channel_last = sqz_val(g, y)->channel_last;
    SQZ_TRY(put_list(p, "scales", q->scale, q->n, sqz_val(g, y), &list));
    SQZ_TRY(node(p, "mul", "", list, data[1], id, &scale));
    SQZ_TRY(node(p, "cast", "to=1", v, SQZ_NONE, id, &v));
    SQZ_TRY(node(p, "mul", "", v, scale, id, &v));
    if (b != SQZ_NONE) {
        const sqz_tensor *t = sqz_val(g, b)->constant;
        SQZ_TRY(put_list(p, sqz_val(g, b)->name, SQZ_F32P(t), t->count, sqz_val(g, y), &list));
        SQZ_TRY(node(p, "add", "", v, list, id, &v));
    }
    return replace(p, id, y, v);
}

/* ---- all ---- */

static bool known(const sqz_graph *g, const sqz_node *n)
{
    return is_conv(n) || ((is_op(n, "gemm") || is_op(n, "matmul")) &&
                          sqz_val(g, n->in[n->op->quant.weight])->shape.rank == 2);
}

static sqz_status convert(dynamic *d, sqz_nid id)
{
    sqz_ptq *p = d->p;
    const sqz_node *n = sqz_nod(p->g, id);
    sqz_arena a = {.ctx = p->g->ctx};
    sqz_tensor codes = {0};
    sqz_quant q;
    if (!known(p->g, n)) {
        sqz_ptq_fact(p, "node '%s' (%s) stays float: it has no dynamic form", n->name,
                     n->op->info.name);
        return SQZ_OK;
    }
    sqz_status s = code_weights(p, n, &a, &codes, &q);
    if (s == SQZ_OK && !sums_fit(&codes, is_conv(n))) {
        sqz_ptq_note(p, "node '%s' (%s) stays float: its sums of products may leave 32 bits",
                     n->name, n->op->info.name);
        sqz_tensor_free(p->g->ctx, &codes);
    } else if (s == SQZ_OK) {
        s = rewrite(d, id, &codes, &q);
    }
    sqz_arena_free(&a);
    return s;
}

static sqz_status drop_unused(const sqz_ptq *p)
{
    sqz_uses u;
    SQZ_TRY(sqz_uses_build(p->g, p->a, &u));
    for (sqz_vid v = 0; v < p->n_value; v++)
        if (sqz_ptq_is_constant(p->g, v) && sqz_n_uses(&p->uses, v) && !sqz_n_uses(&u, v))
            sqz_graph_remove_value(p->g, v);
    return SQZ_OK;
}

sqz_status sqz_ptq_dynamic(sqz_ptq *p)
{
    dynamic d = {.p = p, .room = p->n_value};
    for (sqz_nid id = 0; id < p->n_node; id++)
        d.room += p->coded[id] ? VALUES : 0;
    d.data = sqz_arena_alloc(p->a, d.room + 1, sizeof *d.data);
    if (!d.data)
        return SQZ_E_NOMEM;
    for (size_t v = 0; v < d.room; v++)
        d.data[v][0] = SQZ_NONE;
    SQZ_EACH_NODE(p->g, id)
    {
        const sqz_node *n = sqz_nod(p->g, id);
        if (id >= p->n_node || !p->coded[id])
            continue;
        p->coded[id] = false;
        SQZ_TRY(sqz_note(p->g->ctx, convert(&d, id), "node '%s' (%s)", n->name, n->op->info.name));
    }
    return drop_unused(p);
}
