/* verify.c: the definition of a valid graph. What it refuses is our own mistake: E_INTERNAL. */
#include "ir/graph.h"
#include "ir/names.h"
#include "ir/op.h"
#include "ir/qgrid.h"
#include <math.h>
#include <string.h>

static sqz_status bad(const sqz_graph *g, const char *what, const char *name, const char *why)
{
    return sqz_fail(g->ctx, SQZ_E_INTERNAL, "invalid graph: %s '%s': %s", what, name ? name : "",
                    why);
}

/* ---- values ---- */

/* Codes of a constant fit the bits that its grid says. */
static bool codes_fit(const sqz_tensor *t, const sqz_quant *q)
{
    const int64_t all = INT64_C(1) << q->bits;
    const bool sign = q->dtype == SQZ_S4 || q->dtype == SQZ_S8 || q->dtype == SQZ_S16;
    const int64_t lo = sign ? -all / 2 : 0;
    for (size_t i = 0; i < t->count; i++) {
        const int64_t code = sqz_tensor_i64(t, i) - lo;
        if (code < 0 || code >= all)
            return false;
    }
    return true;
}

static sqz_status check_bits(const sqz_graph *g, const sqz_value *v)
{
    const sqz_quant *q = v->quant;
    if (q->bits == 0)
        return SQZ_OK;
    if (q->bits >= sqz_dtype_bits(q->dtype) || q->bits > 16)
        return bad(g, "value", v->name, "its grid has more bits than its type");
    if (v->constant && v->constant->dtype == q->dtype && !codes_fit(v->constant, q))
        return bad(g, "constant", v->name, "a code does not fit the bits of its grid");
    return SQZ_OK;
}

static sqz_status check_quant(const sqz_graph *g, const sqz_value *v)
{
    const sqz_quant *q = v->quant;
    uint64_t want = 1;
    if (!q)
        return SQZ_OK;
    if (v->dtype != SQZ_F32 && v->dtype != q->dtype)
        return bad(g, "value", v->name, "its type is not that of its grid");
    if (sqz_dtype_is_float(q->dtype) || q->dtype == SQZ_BOOL)
        return bad(g, "value", v->name, "its grid is not of an integer type");
    if (q->axis < -1 || q->axis >= v->shape.rank)
        return bad(g, "value", v->name, "its grid's axis is outside of the shape");
    if (q->group < 0 || (q->group && q->axis < 0))
        return bad(g, "value", v->name, "its grid has blocks, but no axis");
    if (q->group && !sqz_quant_blocks(q, &v->shape, &want))
        return bad(g, "value", v->name, "its grid has too many blocks");
    if (q->axis >= 0 && !q->group)
        want = (uint64_t)v->shape.dim[q->axis];
    if (q->n != want)
        return bad(g, "value", v->name,
                   q->group ? "its grid has not one scale per block"
                            : "its grid has not one scale per index of its axis");
    for (uint32_t i = 0; i < q->n; i++) {
        bool below = q->scale[i] < 0.0f && !v->constant;
        if (q->scale[i] == 0.0f || below || !isfinite(q->scale[i]))
            return bad(g, "value", v->name, "a scale is not positive and finite");
        if (q->dtype == SQZ_S32 && q->zero[i] != 0)
            return bad(g, "value", v->name, "a 32-bit grid has a zero point");
    }
    return check_bits(g, v);
}

static sqz_status check_constant(const sqz_graph *g, const sqz_value *v)
{
    size_t count, bytes;
    const sqz_tensor *t = v->constant;
    if ((v->role == SQZ_ROLE_CONSTANT) != (t != NULL))
        return bad(g, "value", v->name, "constants and only they have numbers");
    if (!t)
        return SQZ_OK;
    if (t->dtype != v->dtype || !sqz_shape_eq(&t->shape, &v->shape))
        return bad(g, "constant", v->name, "type or shape differ from its numbers");
    SQZ_TRY(sqz_shape_count(g->ctx, &t->shape, t->dtype, &count, &bytes));
    if (t->count != count || t->bytes != bytes || !t->own || !t->data)
        return bad(g, "constant", v->name, "its numbers are incomplete");
    return v->producer == SQZ_NONE ? SQZ_OK : bad(g, "constant", v->name, "a node produces it");
}

/* A twin holds the same numbers in the other layout. */
static sqz_status check_twin(const sqz_graph *g, const sqz_value *v)
{
    if (v->twin == SQZ_NONE)
        return SQZ_OK;
    if (v->twin >= g->n_value || sqz_value_dead(sqz_val(g, v->twin)))
        return bad(g, "value", v->name, "its twin is gone");
    const sqz_value *t = sqz_val(g, v->twin);
    const sqz_value *file = v->channel_last ? t : v, *last = v->channel_last ? v : t;
    int32_t rank = v->shape.rank;
    if (t->dtype != v->dtype || t->shape.rank != rank || t->channel_last == v->channel_last)
        return bad(g, "value", v->name, "its twin is not the same value in the other layout");
    for (int32_t a = 0; a < rank; a++)
        if (last->shape.dim[sqz_axis_to_last(a, rank)] != file->shape.dim[a])
            return bad(g, "value", v->name, "its twin has another shape");
    return SQZ_OK;
}

static sqz_status check_normal(const sqz_graph *g, const sqz_value *v)
{
    const int32_t rank = v->shape.rank;
    return !v->normal || (rank > 0 && v->shape.dim[rank - 1] == v->normal->n)
               ? SQZ_OK
               : bad(g, "value", v->name, "its means and deviations are not one for each channel");
}

static sqz_status check_value(const sqz_graph *g, sqz_vid id)
{
    const sqz_value *v = sqz_val(g, id);
    if (!v->name || sqz_graph_find(g, v->name) != id)
        return bad(g, "value", v->name, "its name is not unique");
    SQZ_TRY(sqz_shape_count(g->ctx, &v->shape, v->dtype, NULL, NULL));
    if (v->channel_last && v->shape.rank < 3)
        return bad(g, "value", v->name, "channel-last needs at least 3 dimensions");
    if (v->role != SQZ_ROLE_ACTIVATION && v->producer != SQZ_NONE)
        return bad(g, "value", v->name, "an input or constant has a producer");
    if (v->producer != SQZ_NONE && (v->producer >= g->n_node || sqz_nod(g, v->producer)->dead))
        return bad(g, "value", v->name, "its producer is gone");
    SQZ_TRY(check_quant(g, v));
    SQZ_TRY(check_normal(g, v));
    SQZ_TRY(check_constant(g, v));
    return check_twin(g, v);
}

/* ---- nodes ---- */

/* After the layout pass every tensor of three or more dimensions stands as its operator takes it.
 */
static sqz_status check_layout(const sqz_graph *g, const sqz_node *n)
{
    bool any_last = false, any_file = false;
    if (!(g->have & SQZ_HAS_LAYOUT) || strcmp(n->op->info.name, "transpose") == 0)
        return SQZ_OK;
    for (unsigned i = 0; i < n->n_in + n->n_out; i++) {
        sqz_vid id = i < n->n_in ? n->in[i] : n->out[i - n->n_in];
        const sqz_value *v = id == SQZ_NONE ? NULL : sqz_val(g, id);
        if (!v || v->shape.rank < 3)
            continue;
        any_last = any_last || v->channel_last;
        any_file = any_file || !v->channel_last;
    }
    if (n->op->layout == SQZ_L_CHANNELS && any_file)
        return bad(g, "node", n->name, "it runs channel-last and has a tensor that is not");
    if (n->op->layout == SQZ_L_FILE && any_last)
        return bad(g, "node", n->name,
                   "it runs in the file's layout and has a channel-last tensor");
    return SQZ_OK;
}

static sqz_status check_infer(const sqz_graph *g, const sqz_node *n, sqz_shape *shape,
                              sqz_dtype *dtype)
{
    SQZ_TRY(sqz_note(g->ctx, sqz_node_infer(g, n, shape, dtype), "invalid graph"));
    for (unsigned i = 0; i < n->n_out; i++) {
        const sqz_value *v = sqz_val(g, n->out[i]);
        if (sqz_shape_eq(&v->shape, &shape[i]) && v->dtype == dtype[i])
            continue;
        char have[160], want[160];
        sqz_shape_print(have, &v->shape);
        sqz_shape_print(want, &shape[i]);
        return sqz_fail(g->ctx, SQZ_E_INTERNAL,
                        "invalid graph: node '%s' (%s): output '%s' is %s %s, inference says %s %s",
                        n->name, n->op->info.name, v->name, sqz_dtype_name(v->dtype), have,
                        sqz_dtype_name(dtype[i]), want);
    }
    return SQZ_OK;
}

static sqz_status check_bias(const sqz_graph *g, const sqz_node *n)
{
    const sqz_qrule *r = &n->op->quant;
    if (r->kind != SQZ_Q_LINEAR || !r->bias || r->bias >= n->n_in || n->in[r->bias] == SQZ_NONE)
        return SQZ_OK;
    const sqz_quant *q = sqz_val(g, n->in[r->bias])->quant;
    if (q && q->dtype != SQZ_S32)
        return bad(g, "node", n->name, "its quantized bias is not 32 bits wide");
    return SQZ_OK;
}

/* made[v]: an input, a constant, or the output of a node before. */
static sqz_status check_node(const sqz_graph *g, sqz_nid id, bool *made, sqz_shape *shape,
                             sqz_dtype *dtype)
{
    const sqz_node *n = sqz_nod(g, id);
    const sqz_op *op = n->op;
    if (n->dead || sqz_names_get(g->node_names, n->name) != id)
        return bad(g, "node", n->name, "it is dead, or its name is not unique");
    if (n->n_in < op->n_in_min || n->n_in > op->n_in_max || n->n_out < op->n_out_min ||
        n->n_out > op->n_out_max || (op->info.opt_size && !n->attrs))
        return bad(g, "node", n->name, "its operator takes another number of inputs or outputs");
    for (unsigned i = 0; i < n->n_in; i++)
        if (n->in[i] == SQZ_NONE ? i < op->n_in_min : n->in[i] >= g->n_value || !made[n->in[i]])
            return bad(g, "node", n->name, "an input is missing or made later");
    for (unsigned i = 0; i < n->n_out; i++) {
        if (n->out[i] >= g->n_value || made[n->out[i]] || sqz_val(g, n->out[i])->producer != id)
            return bad(g, "node", n->name, "an output is not its own");
        made[n->out[i]] = true;
    }
    if (op->info.opt_size)
        SQZ_TRY(sqz_note(g->ctx, sqz_opts_check(g->ctx, &op->info, n->attrs),
                         "invalid graph: node '%s'", n->name));
    SQZ_TRY(check_bias(g, n));
    SQZ_TRY(check_layout(g, n));
    return check_infer(g, n, shape, dtype);
}

static sqz_status check_order(const sqz_graph *g, bool *made, sqz_shape *shape, sqz_dtype *dtype)
{
    sqz_nid prev = SQZ_NONE;
    uint32_t steps = 0, alive = 0;
    for (sqz_nid n = g->first; n != SQZ_NONE; prev = n, n = sqz_nod(g, n)->next) {
        if (n >= g->n_node || sqz_nod(g, n)->prev != prev || steps++ >= g->n_node)
            return bad(g, "graph", g->name, "the order of nodes is broken");
        SQZ_TRY(check_node(g, n, made, shape, dtype));
    }
    for (sqz_nid n = 0; n < g->n_node; n++)
        alive += !sqz_nod(g, n)->dead;
    if (g->last != prev || alive != steps)
        return bad(g, "graph", g->name, "a node is not in the order");
    return SQZ_OK;
}

static sqz_status verify(const sqz_graph *g, sqz_arena *a)
{
    bool *made = sqz_arena_alloc(a, g->n_value + 1u, sizeof *made);
    sqz_shape *shape = sqz_arena_alloc(a, UINT8_MAX, sizeof *shape);
    sqz_dtype *dtype = sqz_arena_alloc(a, UINT8_MAX, sizeof *dtype);
    if (!made || !shape || !dtype)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < g->n_value; v++) {
        made[v] = sqz_val(g, v)->role != SQZ_ROLE_ACTIVATION;
        if (!sqz_value_dead(sqz_val(g, v)))
            SQZ_TRY(check_value(g, v));
    }
    for (uint32_t i = 0; i < g->n_input; i++)
        if (g->input[i] >= g->n_value || sqz_val(g, g->input[i])->role != SQZ_ROLE_INPUT)
            return bad(g, "graph", g->name, "an input is not one");
    SQZ_TRY(check_order(g, made, shape, dtype));
    for (uint32_t i = 0; i < g->n_output; i++)
        if (g->output[i] >= g->n_value || !made[g->output[i]])
            return bad(g, "graph", g->name, "an output is made by nobody");
    return SQZ_OK;
}

sqz_status sqz_graph_verify(const sqz_graph *g)
{
    sqz_arena a = {.ctx = g->ctx};
    sqz_status s = verify(g, &a);
    sqz_arena_free(&a);
    return s;
}
