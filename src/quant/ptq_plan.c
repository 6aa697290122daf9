/* ptq_plan.c: which nodes become integer.
 *
 * A node can when its operator has an integer form, its tensors are float32 with known ranges, and
 * its weights are constants. Nodes that compute (linear, realigning, tables) do when they can;
 * nodes that only hand numbers on (reshape, pools, clamps, softmax on integer scores) do when a
 * neighbor does, since alone they would gain nothing. */
#include "quant/ptq.h"
#include <math.h>
#include <string.h>

bool sqz_ptq_is_data(const sqz_graph *g, const sqz_node *n, unsigned slot)
{
    const sqz_qrule *r = &n->op->quant;
    if (n->in[slot] == SQZ_NONE || sqz_val(g, n->in[slot])->dtype != SQZ_F32)
        return false;
    if (r->data_inputs)
        return slot < 32 && r->data_inputs >> slot & 1u;
    return slot == 0 || r->kind == SQZ_Q_SAME || r->kind == SQZ_Q_REALIGN;
}

/* ---- ranges ---- */

/* Values that are copies of others have the range of what they copy, if they have none. */
static void inherit_ranges(sqz_ptq *p)
{
    for (sqz_vid v = 0; v < p->n_value; v++)
        p->range[v] = sqz_val(p->g, v)->range;
    SQZ_EACH_NODE(p->g, n)
    {
        const sqz_node *nd = sqz_nod(p->g, n);
        if (nd->op->quant.kind != SQZ_Q_SAME || nd->n_in == 0 || nd->in[0] == SQZ_NONE)
            continue;
        bool one = true; /* data input, so that its range is that of the outputs */
        for (unsigned i = 1; i < nd->n_in; i++)
            one = one && !sqz_ptq_is_data(p->g, nd, i);
        for (unsigned i = 0; i < nd->n_out && one; i++)
            if (!p->range[nd->out[i]])
                p->range[nd->out[i]] = p->range[nd->in[0]];
    }
}

/* ---- what a node can ---- */

static bool has_integer_form(const sqz_op *op)
{
    return op->quant.kind != SQZ_Q_FLOAT &&
           (op->run_int || op->quant.kind == SQZ_Q_LUT || op->traits & (SQZ_T_MOVES | SQZ_T_VIEW));
}

/* Weight and bias are float constants that fit each other. Sets *why when not. */
static bool linear_fits(const sqz_graph *g, const sqz_node *n, const char **why)
{
    const sqz_qrule *r = &n->op->quant;
    if (!r->weight)
        return true;
    const sqz_value *w = sqz_val(g, n->in[r->weight]);
    int32_t axis = r->channel_axis < 0 ? w->shape.rank + r->channel_axis : r->channel_axis;
    if (sqz_ptq_is_data(g, n, (unsigned)r->weight) && !w->constant)
        return true; /* a product of two activations */
    *why = "its weights are not float constants";
    if (!w->constant || w->dtype != SQZ_F32 || axis < 0 || axis >= w->shape.rank)
        return false;
    if (!r->bias || r->bias >= n->n_in || n->in[r->bias] == SQZ_NONE)
        return true;
    const sqz_value *b = sqz_val(g, n->in[r->bias]);
    *why = "its bias is not one float constant for each output channel";
    return b->constant && b->dtype == SQZ_F32 && b->constant->count == (size_t)w->shape.dim[axis];
}

/* The first activation of n without a range; SQZ_NONE: all have one, or a fixed grid. */
static sqz_vid without_range(const sqz_ptq *p, const sqz_node *n)
{
    for (unsigned i = 0; i < n->n_in; i++)
        if (sqz_ptq_is_data(p->g, n, i) && !sqz_ptq_is_constant(p->g, n->in[i]) &&
            !p->range[n->in[i]])
            return n->in[i];
    for (unsigned i = 0; i < n->n_out && n->op->quant.fixed_scale == 0.0f; i++)
        if (!p->range[n->out[i]])
            return n->out[i];
    return SQZ_NONE;
}

/* Types fit; *why when not. */
static bool tensors_fit(const sqz_graph *g, const sqz_node *n, const char **why)
{
    unsigned data = 0;
    *why = "its tensors are not float32";
    for (unsigned i = 0; i < n->n_out; i++)
        if (sqz_val(g, n->out[i])->dtype != SQZ_F32)
            return false;
    for (unsigned i = 0; i < n->n_in; i++) {
        bool is_data = sqz_ptq_is_data(g, n, i);
        data += is_data && !sqz_ptq_is_constant(g, n->in[i]);
        if (i == 0 && !is_data)
            return false;
        if (!is_data && n->in[i] != SQZ_NONE && sqz_val(g, n->in[i])->dtype == SQZ_F32 &&
            !sqz_ptq_is_constant(g, n->in[i]))
            return false; /* a float operand that is computed has no place on a grid */
    }
    return data > 0;
}

/* An output in the file's layout is the twin of what the file calls it: both stay float, so that
 * they are written as one. */
static bool turns_an_output(const sqz_ptq *p, const sqz_node *n)
{
    for (uint32_t i = 0; i < p->g->n_output && n->layout; i++)
        if (p->g->output[i] == n->out[0])
            return true;
    return false;
}

/* Its only activation is handed on. */
static bool moves_one(const sqz_ptq *p, const sqz_node *n)
{
    unsigned data = 0;
    for (unsigned i = 0; i < n->n_in; i++)
        data += sqz_ptq_is_data(p->g, n, i) && !sqz_ptq_is_constant(p->g, n->in[i]);
    return data == 1 && n->n_out == 1 && n->op->traits & (SQZ_T_VIEW | SQZ_T_MOVES);
}

/* Nothing but moves of its numbers stands between n and the outputs of the model. */
static bool ends_the_model(const sqz_ptq *p, const sqz_node *n)
{
    for (;;) {
        const sqz_vid v = n->out[0];
        const uint32_t uses = sqz_n_uses(&p->uses, v);
        const sqz_nid *user = p->uses.node + p->uses.first[v];
        if (uses == 1 && user[0] != SQZ_NONE) {
            n = sqz_nod(p->g, user[0]);
            if (!moves_one(p, n))
                return false;
            continue;
        }
        for (uint32_t u = 0; u < uses; u++)
            if (user[u] != SQZ_NONE)
                return false;
        return uses > 0;
    }
}

static sqz_status can(const sqz_ptq *p, sqz_nid id, bool *yes, const char **why)
{
    const sqz_node *n = sqz_nod(p->g, id);
    bool excluded;
    *yes = false;
    *why = NULL; /* not worth a line */
    if (turns_an_output(p, n))
        return SQZ_OK;
    if (!has_integer_form(n->op)) {
        for (unsigned i = 0; i < n->n_out; i++)
            if (sqz_val(p->g, n->out[i])->dtype == SQZ_F32)
                *why = "it has no integer form";
        return SQZ_OK;
    }
    SQZ_TRY(sqz_node_selected(p->g, id, p->o->exclude, &excluded));
    if (excluded || (p->scheme[id].bits == 32 && sqz_ptq_has_weights(p->g, n))) {
        *why = "it is excluded";
        return SQZ_OK;
    }
    if (!tensors_fit(p->g, n, why)) {
        *why = n->op->quant.kind == SQZ_Q_SAME ? NULL : *why; /* shapes and indices on their way */
        return SQZ_OK;
    }
    if (n->op->quant.kind == SQZ_Q_FIXED && !p->integer_softmax && ends_the_model(p, n)) {
        *why = "it ends the model, and probabilities in steps of 1/256 would tie";
        return SQZ_OK;
    }
    *yes = n->op->quant.kind != SQZ_Q_LINEAR || linear_fits(p->g, n, why);
    if (*yes)
        *why = NULL;
    return SQZ_OK;
}

/* ---- what becomes of it ---- */

static bool computes(const sqz_op *op)
{
    sqz_qkind k = op->quant.kind;
    return k == SQZ_Q_LINEAR || k == SQZ_Q_REALIGN ||
           (k == SQZ_Q_LUT && !(op->traits & SQZ_T_RELU_LIKE));
}

static bool has_integer_neighbor(const sqz_ptq *p, const sqz_node *n)
{
    for (unsigned i = 0; i < n->n_in; i++)
        if (sqz_ptq_is_data(p->g, n, i) && sqz_ptq_made_integer(p, n->in[i]))
            return true;
    if (n->op->quant.kind == SQZ_Q_FIXED)
        return false; /* float scores deserve a float softmax */
    for (unsigned k = 0; k < n->n_out; k++)
        for (uint32_t u = p->uses.first[n->out[k]]; u < p->uses.first[n->out[k] + 1]; u++) {
            sqz_nid user = p->uses.node[u];
            if (user != SQZ_NONE && p->integer[user] &&
                sqz_ptq_is_data(p->g, sqz_nod(p->g, user), p->uses.slot[u]))
                return true;
        }
    return false;
}

static void spread(sqz_ptq *p, const bool *able)
{
    for (bool more = true; more;) {
        more = false;
        SQZ_EACH_NODE(p->g, n)
        {
            if (able[n] && !p->integer[n] && has_integer_neighbor(p, sqz_nod(p->g, n)))
                more = p->integer[n] = true;
        }
    }
}

/* Says why a node that others around it would make integer stays float. */
static void say_float(const sqz_ptq *p, sqz_nid id, const char *why, sqz_vid open)
{
    const sqz_node *n = sqz_nod(p->g, id);
    if (open != SQZ_NONE)
        sqz_ptq_note(p, "node '%s' (%s) stays float: value '%s' has no range", n->name,
                     n->op->info.name, sqz_val(p->g, open)->name);
    else if (why)
        sqz_ptq_fact(p, "node '%s' (%s) stays float: %s", n->name, n->op->info.name, why);
}

/* Weights alone: every product with constant weights that could be integer but for ranges. */
static sqz_status plan_weights(sqz_ptq *p)
{
    SQZ_EACH_NODE(p->g, n)
    {
        const char *why;
        if (sqz_ptq_has_weights(p->g, sqz_nod(p->g, n)))
            SQZ_TRY(can(p, n, &p->coded[n], &why));
    }
    return SQZ_OK;
}

/* No integer kernel sums up blocks of other scales or computes with other types than int8: such
 * nodes compute in float on numbers that stand on their grids. So does a clamp behind one. */
static void find_pairs(sqz_ptq *p)
{
    SQZ_EACH_NODE(p->g, id)
    {
        const sqz_node *n = sqz_nod(p->g, id);
        int32_t axis;
        if (!p->integer[id])
            continue;
        const bool weights = sqz_ptq_has_weights(p->g, n);
        p->pairs[id] = p->type != SQZ_S8 || (weights && sqz_ptq_group(p, id, &axis) > 0);
        if (sqz_ptq_absorbs(p, n)) {
            const sqz_nid maker = sqz_val(p->g, n->in[0])->producer;
            p->pairs[id] = p->pairs[id] || (maker != SQZ_NONE && p->pairs[maker]);
        }
        p->coded[id] = p->pairs[id] && weights;
    }
}

sqz_status sqz_ptq_plan(sqz_ptq *p)
{
    if (p->o->activations == 0 || p->o->dynamic)
        return plan_weights(p);
    bool *able = sqz_arena_alloc(p->a, p->n_node + 1u, sizeof *able);
    const char **why = sqz_arena_alloc(p->a, p->n_node + 1u, sizeof *why);
    sqz_vid *open = sqz_arena_alloc(p->a, p->n_node + 1u, sizeof *open);
    if (!able || !why || !open)
        return SQZ_E_NOMEM;
    inherit_ranges(p);
    SQZ_EACH_NODE(p->g, n)
    {
        SQZ_TRY(can(p, n, &able[n], &why[n]));
        open[n] = able[n] ? without_range(p, sqz_nod(p->g, n)) : SQZ_NONE;
        able[n] = able[n] && open[n] == SQZ_NONE;
        p->integer[n] = able[n] && computes(sqz_nod(p->g, n)->op);
    }
    if (!p->o->islands && !p->env->integer_only)
        SQZ_TRY(sqz_ptq_islands(p, able, why));
    spread(p, able);
    SQZ_EACH_NODE(p->g, n)
    {
        if (!p->integer[n])
            say_float(p, n, why[n], open[n]);
    }
    find_pairs(p);
    return SQZ_OK;
}
