/* profile.c: seconds of each node over the runs of one or several executors of a graph. */
#include "exec/exec.h"

sqz_status sqz_profile_new(const sqz_graph *g, sqz_arena *a, sqz_profile *p)
{
    *p = (sqz_profile){0};
    p->seconds = sqz_arena_alloc(a, g->n_node + 1u, sizeof *p->seconds);
    p->leader = sqz_arena_alloc(a, g->n_node + 1u, sizeof *p->leader);
    if (!p->seconds || !p->leader)
        return SQZ_E_NOMEM;
    for (sqz_nid n = 0; n < g->n_node; n++)
        p->leader[n] = n;
    return SQZ_OK;
}

void sqz_profile_add(sqz_profile *p, const sqz_graph *g, const sqz_exec *e)
{
    sqz_exec_add_seconds(e, p->seconds);
    SQZ_EACH_NODE(g, n) { p->leader[n] = sqz_exec_leader(e, n); }
}
