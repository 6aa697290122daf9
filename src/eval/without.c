/* without.c: quantize(node(dequantize(x), float constants)) in place of a quantized node. */
#include "eval/without.h"
#include <stdio.h>
#include <string.h>

static sqz_nid same_node(const sqz_graph *reference, const sqz_node *n)
{
    SQZ_EACH_NODE(reference, id)
    {
        const sqz_node *r = sqz_nod(reference, id);
        if (strcmp(r->name, n->name) == 0)
            return r->op == n->op && r->n_out == 1 && n->n_out == 1 ? id : SQZ_NONE;
    }
    return SQZ_NONE;
}

/* Input v of a float node: float constants of the reference r, or data off its grid. */
static sqz_status float_input(sqz_graph *g, sqz_nid before, sqz_vid v, const sqz_value *r,
                              sqz_vid *out)
{
    *out = v;
    if (r->constant) {
        sqz_tensor t;
        sqz_tensor_share(r->constant, &t);
        SQZ_TRY(sqz_graph_constant(g, NULL, &t, out));
        sqz_val(g, *out)->channel_last = r->channel_last;
        return SQZ_OK;
    }
    if (!sqz_val(g, v)->quant)
        return SQZ_OK;
    SQZ_TRY(sqz_graph_node_text(g, "dequantize", NULL, "", &v, 1, before, out));
    return SQZ_OK;
}

/* y on the grid of `old`, whose readers read that from now on. */
static sqz_status back_on_grid(sqz_graph *g, sqz_nid before, sqz_vid y, sqz_vid old)
{
    char type[32];
    sqz_vid made = y;
    const sqz_quant *q = sqz_val(g, old)->quant;
    if (q) {
        (void)snprintf(type, sizeof type, "dtype=%s", sqz_dtype_name(sqz_val(g, old)->dtype));
        SQZ_TRY(sqz_graph_node_text(g, "quantize", NULL, type, &y, 1, before, &made));
        SQZ_TRY(sqz_value_set_grid(g, made, sqz_val(g, old)->quant));
        sqz_val(g, made)->channel_last = sqz_val(g, old)->channel_last;
    }
    sqz_graph_replace_uses(g, old, made);
    return SQZ_OK;
}

sqz_status sqz_graph_float_node(sqz_graph *g, sqz_nid id, const sqz_graph *reference)
{
    const sqz_node *n = sqz_nod(g, id);
    sqz_nid same = same_node(reference, n);
    if (same == SQZ_NONE)
        return sqz_fail(g->ctx, SQZ_E_NOTFOUND, "the reference has no node '%s' (%s)", n->name,
                        n->op->info.name);
    const sqz_node *r = sqz_nod(reference, same);
    sqz_arena a = {.ctx = g->ctx};
    sqz_vid *in = sqz_arena_alloc(&a, r->n_in + 1u, sizeof *in), y = SQZ_NONE, old = n->out[0];
    sqz_nid next = n->next;
    sqz_status s = in ? SQZ_OK : SQZ_E_NOMEM;
    for (unsigned i = 0; s == SQZ_OK && i < r->n_in; i++) {
        in[i] = SQZ_NONE;
        if (r->in[i] == SQZ_NONE)
            continue;
        const sqz_value *from = sqz_val(reference, r->in[i]);
        s = !from->constant && (i >= n->n_in || n->in[i] == SQZ_NONE)
                ? sqz_fail(g->ctx, SQZ_E_NOTFOUND, "node '%s' lacks an input", n->name)
                : float_input(g, id, i < n->n_in ? n->in[i] : SQZ_NONE, from, &in[i]);
    }
    if (s == SQZ_OK)
        s = sqz_graph_node(g, r->op, NULL, r->attrs, in, r->n_in, NULL, 1, next, &y);
    if (s == SQZ_OK) {
        sqz_val(g, y)->channel_last = sqz_val(g, old)->channel_last;
        s = back_on_grid(g, next, y, old);
    }
    if (s == SQZ_OK)
        sqz_graph_remove(g, id);
    sqz_arena_free(&a);
    return s;
}

static double bytes_of(const sqz_value *v)
{
    if (!v->constant)
        return 0.0;
    unsigned bits = sqz_dtype_bits(v->dtype);
    if (v->quant && v->quant->bits)
        bits = v->quant->bits;
    bool scales = v->quant && v->dtype != SQZ_S32; /* those of a bias follow from the others */
    return (double)v->constant->count * bits / 8.0 + (scales ? 4.0 * v->quant->n : 0.0);
}

double sqz_node_constant_bytes(const sqz_graph *g, sqz_nid id)
{
    const sqz_node *n = sqz_nod(g, id);
    double bytes = 0.0;
    for (unsigned i = 0; i < n->n_in; i++) {
        const sqz_value *v = n->in[i] == SQZ_NONE ? NULL : sqz_val(g, n->in[i]);
        while (v && !v->constant && v->producer != SQZ_NONE &&
               strcmp(sqz_nod(g, v->producer)->op->info.name, "dequantize") == 0)
            v = sqz_val(g, sqz_nod(g, v->producer)->in[0]);
        bytes += v ? bytes_of(v) : 0.0;
    }
    return bytes;
}

double sqz_graph_constant_bytes(const sqz_graph *g)
{
    double bytes = 0.0;
    for (sqz_vid v = 0; v < g->n_value; v++)
        bytes += bytes_of(sqz_val(g, v));
    return bytes;
}
