/* fold.c: replaces nodes by the numbers they make. */
#include "ir/op.h"
#include <string.h>

#define FOLD_BYTES                                                                                 \
    ((size_t)64 << 20) /* of the results; more stays a node: files may ask for any                 \
                        */
#define FOLD_MACS ((uint64_t)1 << 30)

static bool small_enough(const sqz_graph *g, const sqz_node *n)
{
    size_t bytes, total = 0;
    sqz_cost cost;
    for (unsigned i = 0; i < n->n_out; i++) {
        const sqz_value *v = sqz_val(g, n->out[i]);
        if (sqz_shape_count(g->ctx, &v->shape, v->dtype, NULL, &bytes) != SQZ_OK ||
            !sqz_add(total, bytes, &total) || total > FOLD_BYTES)
            return false;
    }
    sqz_node_cost(g, n, &cost);
    return cost.macs <= FOLD_MACS;
}

/* Weights stay on their integer grid: unfolding them would undo the quantization of the file.
 * Channel-last operators cannot run in the file's layout. */
bool sqz_node_is_palette(const sqz_graph *g, const sqz_node *n)
{
    if (strcmp(n->op->info.name, "gather") != 0)
        return false;
    const sqz_value *colors = sqz_val(g, n->in[0]), *index = sqz_val(g, n->in[1]);
    return colors->constant && index->constant && colors->dtype == SQZ_F32 &&
           colors->shape.rank == 1 && (index->dtype == SQZ_U8 || index->dtype == SQZ_U4);
}

bool sqz_node_foldable(const sqz_graph *g, const sqz_node *n)
{
    if (n->op->layout == SQZ_L_CHANNELS && !(g->have & SQZ_HAS_LAYOUT))
        return false;
    for (unsigned i = 0; i < n->n_in; i++)
        if (n->in[i] != SQZ_NONE && (!sqz_val(g, n->in[i])->constant ||
                                     (g->trains && sqz_val(g, n->in[i])->dtype == SQZ_F32)))
            return false;
    return strcmp(n->op->info.name, "dequantize") != 0 && !sqz_node_is_palette(g, n) &&
           small_enough(g, n);
}

/* Unlinks the node and keeps its outputs, which become constants. */
static sqz_status become_constants(sqz_graph *g, sqz_nid n, sqz_tensor *t)
{
    sqz_node *nd = sqz_nod(g, n);
    unsigned n_out = nd->n_out;
    sqz_status s = SQZ_OK;
    nd->n_out = 0; /* the outputs outlive the node */
    sqz_graph_remove(g, n);
    for (unsigned i = 0; i < n_out; i++) {
        sqz_val(g, nd->out[i])->producer = SQZ_NONE;
        sqz_status one = sqz_value_set_constant(g, nd->out[i], &t[i]);
        s = s == SQZ_OK ? one : s;
    }
    return s;
}

static sqz_status compute(const sqz_graph *g, const sqz_node *n, sqz_arena *a, sqz_tensor *t)
{
    const sqz_tensor **in = sqz_arena_alloc(a, n->n_in + 1u, sizeof *in);
    sqz_tensor **out = sqz_arena_alloc(a, n->n_out, sizeof *out);
    const sqz_quant **in_q = sqz_arena_alloc(a, n->n_in + 1u, sizeof *in_q);
    const sqz_quant **out_q = sqz_arena_alloc(a, n->n_out, sizeof *out_q);
    if (!in || !out || !in_q || !out_q)
        return SQZ_E_NOMEM;
    for (unsigned i = 0; i < n->n_in; i++)
        if (n->in[i] != SQZ_NONE) {
            in[i] = sqz_val(g, n->in[i])->constant;
            in_q[i] = sqz_val(g, n->in[i])->quant;
        }
    for (unsigned i = 0; i < n->n_out; i++) {
        const sqz_value *v = sqz_val(g, n->out[i]);
        SQZ_TRY(sqz_tensor_alloc(g->ctx, v->dtype, &v->shape, &t[i]));
        out[i] = &t[i];
        out_q[i] = v->quant;
    }
    return sqz_op_run_once(g->ctx, n->op, n->attrs, in, n->n_in, out, n->n_out, in_q, out_q);
}

sqz_status sqz_fold_node(sqz_graph *g, sqz_nid n)
{
    const sqz_node *nd = sqz_nod(g, n);
    unsigned n_out = nd->n_out;
    sqz_arena a = {.ctx = g->ctx};
    sqz_tensor *t = sqz_arena_alloc(&a, n_out, sizeof *t);
    sqz_status s = t ? sqz_note(g->ctx, compute(g, nd, &a, t), "node '%s' (%s)", nd->name,
                                nd->op->info.name)
                     : SQZ_E_NOMEM;
    if (s == SQZ_OK)
        s = become_constants(g, n, t);
    for (unsigned i = 0; t && i < n_out; i++)
        sqz_tensor_free(g->ctx, &t[i]); /* those that were not handed over */
    sqz_arena_free(&a);
    return s;
}

/* Producers are before their users in the order, so one walk over the marked nodes is enough. */
static sqz_status fold_marked(sqz_graph *g, const bool *marked)
{
    SQZ_EACH_NODE(g, n)
    {
        if (marked[n] && sqz_node_foldable(g, sqz_nod(g, n)))
            SQZ_TRY(sqz_fold_node(g, n));
    }
    return SQZ_OK;
}

/* The value that the caller of the import gave for an input, or NULL. */
static const sqz_tensor *given(const sqz_graph *g, sqz_vid v)
{
    for (size_t i = 0; i < g->n_given; i++)
        if (g->given[i].value == v)
            return g->given[i].tensor;
    return NULL;
}

/* A value that no node makes: can it become a constant? */
static bool known(const sqz_graph *g, sqz_vid v) { return sqz_val(g, v)->constant || given(g, v); }

/* Marks what `v` is computed from; false: it depends on something that is not constant. */
static bool mark(const sqz_graph *g, sqz_vid v, bool *marked)
{
    if (sqz_val(g, v)->producer == SQZ_NONE)
        return known(g, v);
    marked[sqz_val(g, v)->producer] = true;
    for (sqz_nid n = g->last; n != SQZ_NONE; n = sqz_nod(g, n)->prev) {
        const sqz_node *nd = sqz_nod(g, n);
        for (unsigned i = 0; marked[n] && i < nd->n_in; i++) {
            const sqz_value *x = nd->in[i] == SQZ_NONE ? NULL : sqz_val(g, nd->in[i]);
            if (x && x->producer != SQZ_NONE)
                marked[x->producer] = true;
            else if (x && !known(g, nd->in[i]))
                return false;
        }
    }
    return true;
}

/* Inputs that `v` and the marked nodes read become constants. */
static sqz_status bind(sqz_graph *g, sqz_vid v, const bool *marked)
{
    if (!sqz_val(g, v)->constant && given(g, v))
        SQZ_TRY(sqz_graph_bind_input(g, v, given(g, v)));
    SQZ_EACH_NODE(g, n)
    {
        const sqz_node *nd = sqz_nod(g, n);
        for (unsigned i = 0; marked[n] && i < nd->n_in; i++)
            if (nd->in[i] != SQZ_NONE && !sqz_val(g, nd->in[i])->constant && given(g, nd->in[i]))
                SQZ_TRY(sqz_graph_bind_input(g, nd->in[i], given(g, nd->in[i])));
    }
    return SQZ_OK;
}

sqz_status sqz_fold_value(sqz_graph *g, sqz_vid v)
{
    if (sqz_val(g, v)->constant)
        return SQZ_OK;
    bool *marked = sqz_calloc(g->ctx, (size_t)g->n_node + 1, sizeof *marked);
    if (!marked)
        return SQZ_E_NOMEM;
    sqz_status s = SQZ_OK;
    if (mark(g, v, marked)) {
        s = bind(g, v, marked);
        if (s == SQZ_OK)
            s = fold_marked(g, marked);
    }
    sqz_free(g->ctx, marked);
    return s;
}
