/* spent.c: weights that operators have packed for themselves are given back while an executor is
 * made, one node after the other. */
#include "exec/exec.h"

sqz_status sqz_spent_begin(const sqz_graph *g, sqz_arena *a, sqz_spent *s)
{
    s->readers = sqz_arena_alloc(a, g->n_value + 1u, sizeof *s->readers);
    if (!s->readers)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < g->n_output; i++)
        s->readers[g->output[i]]++;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        for (unsigned k = 0; k < n->n_in; k++)
            if (n->in[k] != SQZ_NONE)
                s->readers[n->in[k]]++;
    }
    return SQZ_OK;
}

void sqz_spent_node(sqz_spent *s, sqz_graph *g, const sqz_node *n, uint32_t spent,
                    sqz_tensor *tensor)
{
    for (unsigned k = 0; k < n->n_in && k < 32; k++) {
        const sqz_vid v = n->in[k];
        if (!(spent >> k & 1) || v == SQZ_NONE || !sqz_val(g, v)->constant || --s->readers[v])
            continue;
        sqz_tensor_free(g->ctx, (sqz_tensor *)(uintptr_t)sqz_val(g, v)->constant);
        tensor[v].data = NULL;
        tensor[v].own = NULL;
    }
}
