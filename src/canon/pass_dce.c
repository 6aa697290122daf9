/* pass_dce.c: nodes and constants that no output depends on are removed. Inputs stay. */
#include "ir/pass.h"

static void keep(bool *needed, sqz_vid v)
{
    if (v != SQZ_NONE)
        needed[v] = true;
}

/* Backwards, so that a node is judged after everybody who might use it. */
static void sweep_nodes(sqz_graph *g, bool *needed)
{
    for (sqz_nid n = g->last, prev; n != SQZ_NONE; n = prev) {
        const sqz_node *nd = sqz_nod(g, n);
        bool used = false;
        prev = nd->prev;
        for (unsigned i = 0; i < nd->n_out; i++)
            used = used || needed[nd->out[i]];
        for (unsigned i = 0; used && i < nd->n_in; i++)
            keep(needed, nd->in[i]);
        if (!used)
            sqz_graph_remove(g, n);
    }
}

/* A copy in the other layout that outlives what it copies takes over the name. */
static sqz_status settle_twins(sqz_graph *g)
{
    for (sqz_vid v = 0; v < g->n_value; v++) {
        sqz_value *val = sqz_val(g, v);
        if (val->twin == SQZ_NONE || sqz_value_dead(val) || !sqz_value_dead(sqz_val(g, val->twin)))
            continue;
        const char *name = sqz_val(g, val->twin)->name;
        val->twin = SQZ_NONE;
        if (sqz_graph_find(g, name) == SQZ_NONE)
            SQZ_TRY(sqz_graph_rename(g, v, name));
    }
    return SQZ_OK;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    (void)opts;
    (void)env;
    bool *needed = sqz_calloc(g->ctx, (size_t)g->n_value + 1, sizeof *needed);
    if (!needed)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < g->n_output; i++)
        keep(needed, g->output[i]);
    sweep_nodes(g, needed);
    for (sqz_vid v = 0; v < g->n_value; v++)
        if (sqz_val(g, v)->constant && !needed[v])
            sqz_graph_remove_value(g, v);
    sqz_free(g->ctx, needed);
    return settle_twins(g);
}

const sqz_pass sqz_pass_dce = {
    .info = {.name = "dce", .doc = "removes what no output needs"},
    .exact = true,
    .run = run,
};
