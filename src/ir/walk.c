/* walk.c: who uses a value. */
#include "ir/graph.h"
#include "ir/op.h"
#include <string.h>

/* Calls for every use in execution order, graph outputs last; counts when node is NULL. */
static void visit(const sqz_graph *g, uint32_t *at, sqz_nid *node, uint16_t *slot)
{
    SQZ_EACH_NODE(g, n)
    {
        const sqz_node *nd = sqz_nod(g, n);
        for (uint16_t i = 0; i < nd->n_in; i++) {
            if (nd->in[i] == SQZ_NONE)
                continue;
            if (node) {
                node[at[nd->in[i]]] = n;
                slot[at[nd->in[i]]] = i;
            }
            at[nd->in[i]]++;
        }
    }
    for (uint32_t i = 0; i < g->n_output; i++) {
        if (node) {
            node[at[g->output[i]]] = SQZ_NONE;
            slot[at[g->output[i]]] = (uint16_t)i;
        }
        at[g->output[i]]++;
    }
}

sqz_status sqz_uses_build(const sqz_graph *g, sqz_arena *a, sqz_uses *out)
{
    *out = (sqz_uses){0};
    uint32_t *at = sqz_arena_alloc(a, (size_t)g->n_value + 1, sizeof *at);
    uint32_t *first = sqz_arena_alloc(a, (size_t)g->n_value + 1, sizeof *first);
    if (!at || !first)
        return SQZ_E_NOMEM;
    visit(g, at, NULL, NULL);
    uint64_t total = 0;
    for (uint32_t v = 0; v <= g->n_value; v++) {
        uint32_t count = v < g->n_value ? at[v] : 0;
        first[v] = at[v] = (uint32_t)total;
        total += count;
        if (total > UINT32_MAX)
            return sqz_fail(g->ctx, SQZ_E_LIMIT, "more than 2^32 uses of values");
    }
    sqz_nid *node = sqz_arena_alloc(a, total, sizeof *node);
    uint16_t *slot = sqz_arena_alloc(a, total, sizeof *slot);
    if (!node || !slot)
        return SQZ_E_NOMEM;
    visit(g, at, node, slot);
    *out = (sqz_uses){first, node, slot};
    return SQZ_OK;
}

sqz_vid sqz_graph_logits(const sqz_graph *g)
{
    const sqz_vid y = g->output[0];
    const sqz_nid p = sqz_val(g, y)->producer;
    if (p == SQZ_NONE)
        return y;
    const char *op = sqz_nod(g, p)->op->info.name;
    return strcmp(op, "softmax") == 0 || strcmp(op, "sigmoid") == 0 ? sqz_nod(g, p)->in[0] : y;
}
