/* freeze.c: which parameters a pattern of names means. */
#include "prune/student.h"
#include <string.h>

static sqz_status freeze_node(const sqz_graph *g, const char *pattern, sqz_nid id, bool *frozen,
                              bool *still, bool *met)
{
    const sqz_node *n = sqz_nod(g, id);
    bool yes;
    SQZ_TRY(sqz_match(g->ctx, pattern, n->name, &yes));
    for (unsigned i = 0; yes && i < n->n_in; i++)
        if (n->in[i] != SQZ_NONE && sqz_val(g, n->in[i])->constant)
            frozen[n->in[i]] = true;
    if (yes && still && strcmp(n->op->info.name, "batch_norm") == 0)
        still[id] = true;
    *met = *met || yes;
    return SQZ_OK;
}

sqz_status sqz_freeze(const sqz_graph *g, const char *pattern, bool *frozen, bool *still)
{
    bool met = false, yes;
    SQZ_EACH_NODE(g, id) { SQZ_TRY(freeze_node(g, pattern, id, frozen, still, &met)); }
    for (sqz_vid v = 0; v < g->n_value; v++) {
        if (sqz_value_dead(sqz_val(g, v)) || !sqz_val(g, v)->constant)
            continue;
        SQZ_TRY(sqz_match(g->ctx, pattern, sqz_value_file_name(g, v), &yes));
        frozen[v] = frozen[v] || yes;
        met = met || yes;
    }
    return met ? SQZ_OK
               : sqz_fail(g->ctx, SQZ_E_NOTFOUND,
                          "no node and no constant is called '%s': `squeeze inspect` lists them",
                          pattern);
}
