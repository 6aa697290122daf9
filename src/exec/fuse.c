/* fuse.c: finds chains of elementwise nodes and the node that can compute them with its own result.
 * Every value inside a chain has one use, and the chain's other operands exist before the node
 * runs. Bytes are the same fused or not: the same operations in the same order. */
#include "exec/fuse.h"
#include "exec/codes.h"
#include <math.h>
#include <string.h>

typedef struct fuser {
    sqz_graph *g;
    sqz_arena *a;
    sqz_uses uses;
    uint32_t *made; /* step that makes a value; 0: input or constant */
    sqz_chain **chain;
    sqz_nid *into;
} fuser;

static bool is_named(const sqz_node *n, const char *name)
{
    return strcmp(n->op->info.name, name) == 0;
}

bool sqz_runs_integer(const sqz_graph *g, const sqz_node *n)
{
    const sqz_quant *x = n->n_in && n->in[0] != SQZ_NONE ? sqz_val(g, n->in[0])->quant : NULL;
    const sqz_quant *y = n->n_out && n->out[0] != SQZ_NONE ? sqz_val(g, n->out[0])->quant : NULL;
    return n->op->run_int && x && y && x->dtype == SQZ_S8 && y->dtype == SQZ_S8;
}

/* All that it touches is float32, but for a weight that stays codes. */
static bool is_float(const sqz_graph *g, const sqz_node *n)
{
    const bool coded = sqz_node_is_coded(g, n);
    for (unsigned k = 0; k < n->n_in; k++)
        if (n->in[k] != SQZ_NONE && !(coded && k == 1) &&
            (sqz_val(g, n->in[k])->quant || sqz_val(g, n->in[k])->dtype != SQZ_F32))
            return false;
    return n->n_out == 1 && n->out[0] != SQZ_NONE && !sqz_val(g, n->out[0])->quant &&
           sqz_val(g, n->out[0])->dtype == SQZ_F32;
}

/* The only use of a value, when that is a node; its slot. */
static sqz_nid only_use(const fuser *f, sqz_vid v, uint16_t *slot)
{
    if (sqz_n_uses(&f->uses, v) != 1)
        return SQZ_NONE;
    *slot = f->uses.slot[f->uses.first[v]];
    return f->uses.node[f->uses.first[v]];
}

/* Bit for bit, also with NaN (which min and max choose by position). */
static bool commutes(const sqz_node *n) { return is_named(n, "add") || is_named(n, "mul"); }

/* Node c continues a chain whose result so far is its input `slot`, behind a node at `step`. */
static bool continues(const fuser *f, const sqz_node *c, uint16_t slot, bool integer, uint32_t step)
{
    const sqz_graph *g = f->g;
    if (c->n_out != 1 || c->out[0] == SQZ_NONE)
        return false;
    const sqz_value *x = sqz_val(g, c->in[slot]), *y = sqz_val(g, c->out[0]);
    if (!sqz_shape_eq(&x->shape, &y->shape) || x->dtype != y->dtype)
        return false;
    if (integer && sqz_node_is_view(g, c))
        return slot == 0;
    if (!(c->op->traits & SQZ_T_ELEMENTWISE) || !c->op->part)
        return false;
    if (integer ? !sqz_runs_integer(g, c) : !is_float(g, c))
        return false;
    if (slot != 0 && !(slot == 1 && commutes(c)))
        return false;
    for (unsigned k = 0; k < c->n_in; k++)
        if (k != slot && c->in[k] != SQZ_NONE && f->made[c->in[k]] >= step)
            return false;
    return true;
}

/* A constant row, one number for each index of the last axis. */
static bool is_row(const sqz_value *v, int64_t n)
{
    return v->constant && v->shape.rank >= 1 && v->shape.dim[v->shape.rank - 1] == n &&
           v->constant->count == (size_t)n;
}

static double number(const sqz_node *n, const char *name)
{
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (strcmp(n->op->info.opts[i].name, name) == 0)
            return *(const double *)sqz_opt_field(&n->op->info.opts[i], n->attrs);
    return NAN;
}

/* Puts c into the epilogue, if that is still open for it. */
static bool enters_epilogue(const sqz_graph *g, sqz_chain *h, const sqz_node *c, uint16_t slot)
{
    const sqz_value *y = sqz_val(g, c->out[0]);
    bool clamped = h->lo != -INFINITY || h->hi != INFINITY;
    if (h->n_then || clamped)
        return false;
    if (is_named(c, "relu")) {
        h->lo = 0;
        return true;
    }
    if (is_named(c, "clip")) {
        h->lo = (float)number(c, "min");
        h->hi = (float)number(c, "max");
        return true;
    }
    if (!is_named(c, "add") || h->add != SQZ_NONE)
        return false;
    const sqz_value *other = sqz_val(g, c->in[1 - slot]);
    if (h->bias == SQZ_NONE && is_row(other, y->shape.dim[y->shape.rank - 1]))
        h->bias = c->in[1 - slot];
    else if (sqz_shape_eq(&other->shape, &y->shape) && !other->constant)
        h->add = c->in[1 - slot];
    else
        return false;
    return true;
}

static void unlink_node(sqz_graph *g, sqz_nid id)
{
    sqz_node *n = sqz_nod(g, id);
    *(n->prev == SQZ_NONE ? &g->first : &sqz_nod(g, n->prev)->next) = n->next;
    *(n->next == SQZ_NONE ? &g->last : &sqz_nod(g, n->next)->prev) = n->prev;
}

/* Inputs of the node, then the other operands of what is fused: the plan keeps them alive. */
static sqz_status extend_inputs(fuser *f, sqz_node *n, const sqz_link *member, uint32_t n_member)
{
    size_t most = n->n_in, at = n->n_in;
    for (uint32_t i = 0; i < n_member; i++)
        most += sqz_nod(f->g, member[i].node)->n_in;
    if (most > UINT16_MAX)
        return sqz_fail(f->g->ctx, SQZ_E_LIMIT, "node '%s' would get %zu inputs", n->name, most);
    sqz_vid *in = sqz_arena_alloc(&f->g->arena, most, sizeof *in);
    if (!in)
        return SQZ_E_NOMEM;
    memcpy(in, n->in, n->n_in * sizeof *in);
    for (uint32_t i = 0; i < n_member; i++) {
        const sqz_node *c = sqz_nod(f->g, member[i].node);
        for (unsigned k = 0; k < c->n_in; k++)
            if (k != member[i].slot && c->in[k] != SQZ_NONE)
                in[at++] = c->in[k];
    }
    n->in = in;
    n->n_in = (uint16_t)at;
    return SQZ_OK;
}

/* The nodes behind n that it can compute too. */
static uint32_t follow(const fuser *f, const sqz_node *n, bool integer, uint32_t step,
                       sqz_link *member, uint32_t room)
{
    uint32_t count = 0;
    uint16_t slot = 0;
    sqz_nid next = only_use(f, n->out[0], &slot);
    while (next != SQZ_NONE && count < room &&
           continues(f, sqz_nod(f->g, next), slot, integer, step)) {
        member[count++] = (sqz_link){next, slot};
        next = only_use(f, sqz_nod(f->g, next)->out[0], &slot);
    }
    return count;
}

static sqz_status make_chain(fuser *f, sqz_nid id, uint32_t step, const sqz_link *member,
                             uint32_t n_member, bool integer)
{
    sqz_graph *g = f->g;
    sqz_node *n = sqz_nod(g, id);
    sqz_chain *h = sqz_arena_alloc(f->a, 1, sizeof *h);
    if (!h || !(h->then = sqz_arena_alloc(f->a, n_member, sizeof *h->then)))
        return SQZ_E_NOMEM;
    *h = (sqz_chain){.own = n->out[0],
                     .n_in = n->n_in,
                     .bias = SQZ_NONE,
                     .add = SQZ_NONE,
                     .lo = -INFINITY,
                     .hi = INFINITY,
                     .then = h->then};
    const bool epilogue = !integer && (n->op->traits & SQZ_T_FUSES);
    for (uint32_t i = 0; i < n_member; i++) {
        const sqz_node *c = sqz_nod(g, member[i].node);
        bool view = integer && sqz_node_is_view(g, c);
        if (!view && !(epilogue && enters_epilogue(g, h, c, member[i].slot)))
            h->then[h->n_then++] = member[i];
    }
    SQZ_TRY(extend_inputs(f, n, member, n_member));
    n->out[0] = sqz_nod(g, member[n_member - 1].node)->out[0];
    sqz_val(g, n->out[0])->producer = id;
    f->made[n->out[0]] = step;
    for (uint32_t i = 0; i < n_member; i++) {
        f->into[member[i].node] = id;
        unlink_node(g, member[i].node);
    }
    f->chain[id] = h;
    return SQZ_OK;
}

/* Whether anything may be fused into n: a sum of products, or an elementwise node. */
static bool leads(const sqz_graph *g, const sqz_node *n, bool *integer)
{
    *integer = sqz_runs_integer(g, n);
    if (n->n_out != 1 || n->out[0] == SQZ_NONE || sqz_node_is_view(g, n))
        return false;
    if (!(n->op->traits & SQZ_T_FUSES) && !n->op->part)
        return false;
    return *integer || is_float(g, n);
}

enum { MOST = 64 }; /* nodes of a chain */

static sqz_status fuse_all(fuser *f)
{
    sqz_link member[MOST];
    uint32_t step = 1;
    SQZ_EACH_NODE(f->g, count)
    {
        const sqz_node *n = sqz_nod(f->g, count);
        for (unsigned k = 0; k < n->n_out; k++)
            if (n->out[k] != SQZ_NONE)
                f->made[n->out[k]] = step;
        step++;
    }
    for (sqz_nid id = f->g->first; id != SQZ_NONE; id = sqz_nod(f->g, id)->next) {
        const sqz_node *n = sqz_nod(f->g, id);
        bool integer;
        if (!leads(f->g, n, &integer))
            continue;
        step = f->made[n->out[0]];
        uint32_t n_member = follow(f, n, integer, step, member, MOST);
        if (n_member)
            SQZ_TRY(make_chain(f, id, step, member, n_member, integer));
    }
    return SQZ_OK;
}

sqz_status sqz_fuse(sqz_graph *g, sqz_arena *a, sqz_chain ***chain, sqz_nid **into)
{
    fuser f = {.g = g,
               .a = a,
               .made = sqz_arena_alloc(a, g->n_value + 1u, sizeof *f.made),
               .chain = sqz_arena_alloc(a, g->n_node + 1u, sizeof *f.chain),
               .into = sqz_arena_alloc(a, g->n_node + 1u, sizeof *f.into)};
    if (!f.made || !f.chain || !f.into)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_uses_build(g, a, &f.uses));
    for (sqz_nid n = 0; n < g->n_node; n++)
        f.into[n] = n;
    SQZ_TRY(fuse_all(&f));
    *chain = f.chain;
    *into = f.into;
    return SQZ_OK;
}
