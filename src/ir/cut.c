/* cut.c: the part of a graph between two places of its execution order, as a graph of its own. */
#include "ir/graph.h"
#include "ir/names.h"
#include "ir/op.h"

/* Marks of each value, as a cut sees it. */
typedef struct marks {
    bool *before; /* made in front of the cut: inputs, and results of earlier nodes */
    bool *after;  /* read behind it, or an output of the graph */
} marks;

static sqz_status check_place(const sqz_graph *g, sqz_nid n)
{
    if (n == SQZ_NONE || (n < g->n_node && !sqz_nod(g, n)->dead))
        return SQZ_OK;
    return sqz_fail(g->ctx, SQZ_E_INTERNAL, "a graph is cut at node %u, which it does not have",
                    (unsigned)n);
}

static sqz_status mark(const sqz_graph *g, sqz_arena *a, sqz_nid cut, marks *m)
{
    m->before = sqz_arena_alloc(a, g->n_value + 1u, sizeof *m->before);
    m->after = sqz_arena_alloc(a, g->n_value + 1u, sizeof *m->after);
    if (!m->before || !m->after)
        return SQZ_E_NOMEM;
    bool behind = false;
    for (uint32_t i = 0; i < g->n_input; i++)
        m->before[g->input[i]] = true;
    for (uint32_t i = 0; i < g->n_output; i++)
        m->after[g->output[i]] = true;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        behind = behind || id == cut;
        for (unsigned k = 0; !behind && k < n->n_out; k++)
            if (n->out[k] != SQZ_NONE)
                m->before[n->out[k]] = true;
        for (unsigned k = 0; behind && k < n->n_in; k++)
            if (n->in[k] != SQZ_NONE)
                m->after[n->in[k]] = true;
    }
    return SQZ_OK;
}

sqz_status sqz_graph_live(const sqz_graph *g, sqz_arena *a, sqz_nid cut, sqz_vid **list,
                          uint32_t *n)
{
    marks m;
    *n = 0;
    SQZ_TRY(check_place(g, cut));
    SQZ_TRY(mark(g, a, cut, &m));
    *list = sqz_arena_alloc(a, g->n_value + 1u, sizeof **list);
    if (!*list)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < g->n_value; v++)
        if (m.before[v] && m.after[v] && !sqz_val(g, v)->constant)
            (*list)[(*n)++] = v;
    return SQZ_OK;
}

/* ---- a piece ---- */

typedef struct piece {
    sqz_graph *g;               /* a clone, to be cut down */
    bool *inside;               /* by node */
    bool *made, *read, *wanted; /* by value: made and read inside, needed behind or asked for */
} piece;

static sqz_status look(piece *p, sqz_arena *a, sqz_nid begin, sqz_nid end)
{
    const sqz_graph *g = p->g;
    bool within = false;
    p->inside = sqz_arena_alloc(a, g->n_node + 1u, sizeof *p->inside);
    p->made = sqz_arena_alloc(a, g->n_value + 1u, sizeof *p->made);
    p->read = sqz_arena_alloc(a, g->n_value + 1u, sizeof *p->read);
    p->wanted = sqz_arena_alloc(a, g->n_value + 1u, sizeof *p->wanted);
    if (!p->inside || !p->made || !p->read || !p->wanted)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        within = (within || id == begin) && id != end;
        p->inside[id] = within;
        for (unsigned k = 0; k < n->n_in; k++)
            if (n->in[k] != SQZ_NONE)
                *(within ? &p->read[n->in[k]] : &p->wanted[n->in[k]]) = true;
        for (unsigned k = 0; within && k < n->n_out; k++)
            if (n->out[k] != SQZ_NONE)
                p->made[n->out[k]] = true;
    }
    for (uint32_t i = 0; i < g->n_output; i++)
        p->wanted[g->output[i]] = true;
    return SQZ_OK;
}

static void unlink_node(sqz_graph *g, sqz_nid id)
{
    sqz_node *n = sqz_nod(g, id);
    *(n->prev == SQZ_NONE ? &g->first : &sqz_nod(g, n->prev)->next) = n->next;
    *(n->next == SQZ_NONE ? &g->last : &sqz_nod(g, n->next)->prev) = n->prev;
    n->dead = true;
    sqz_names_remove(g->node_names, n->name);
}

static bool is_border(const piece *p, sqz_vid v) /* made elsewhere, read here */
{
    return p->read[v] && !p->made[v] && !sqz_val(p->g, v)->constant;
}

/* Inputs and outputs are what crosses the borders, in the order of their ids. */
static sqz_status set_ends(const piece *p)
{
    sqz_graph *g = p->g;
    size_t room = 1; /* a power of two: see append in graph.c */
    uint32_t n = 0;
    while (room < g->n_value + 1u)
        room *= 2;
    sqz_vid *in = sqz_arena_alloc(&g->arena, room, sizeof *in);
    sqz_vid *out = sqz_arena_alloc(&g->arena, room, sizeof *out);
    if (!in || !out)
        return SQZ_E_NOMEM;
    g->n_input = 0;
    for (sqz_vid v = 0; v < g->n_value; v++) {
        if (is_border(p, v)) {
            sqz_val(g, v)->role = SQZ_ROLE_INPUT;
            sqz_val(g, v)->producer = SQZ_NONE;
            in[g->n_input++] = v;
        }
        if (p->made[v] && p->wanted[v])
            out[n++] = v;
    }
    g->input = in;
    return sqz_graph_set_outputs(g, out, n);
}

static void drop_rest(const piece *p)
{
    sqz_graph *g = p->g;
    SQZ_EACH_NODE(g, id)
    {
        if (!p->inside[id])
            unlink_node(g, id);
    }
    for (sqz_vid v = 0; v < g->n_value; v++) {
        sqz_value *val = sqz_val(g, v);
        if (!p->made[v] && !p->read[v] && !sqz_value_dead(val))
            sqz_graph_remove_value(g, v);
        val->twin = SQZ_NONE; /* names of a file mean nothing here */
    }
}

sqz_status sqz_graph_piece(const sqz_graph *g, sqz_nid begin, sqz_nid end, const sqz_vid *more,
                           uint32_t n_more, sqz_graph **out)
{
    sqz_arena a = {.ctx = g->ctx};
    piece p = {0};
    *out = NULL;
    SQZ_TRY(check_place(g, begin));
    SQZ_TRY(check_place(g, end));
    SQZ_TRY(sqz_graph_clone(g, &p.g));
    sqz_status s = look(&p, &a, begin, end);
    for (uint32_t i = 0; s == SQZ_OK && i < n_more; i++)
        p.wanted[more[i]] = true;
    if (s == SQZ_OK) {
        drop_rest(&p);
        s = set_ends(&p);
    }
    sqz_arena_free(&a);
    if (s != SQZ_OK)
        sqz_graph_free(p.g);
    else
        *out = p.g;
    return s;
}
