/* blocks.c: see blocks.h. */
#include "quant/blocks.h"

typedef struct order { /* the float graph in execution order */
    sqz_nid *node;
    uint32_t n;
    uint32_t *live; /* activations that cross the cut in front of node i */
} order;

static sqz_status make_order(const sqz_graph *g, sqz_arena *a, order *o)
{
    uint32_t *made = sqz_arena_alloc(a, g->n_value + 1u, sizeof *made);
    uint32_t *last = sqz_arena_alloc(a, g->n_value + 1u, sizeof *last);
    o->node = sqz_arena_alloc(a, g->n_node + 1u, sizeof *o->node);
    o->live = sqz_arena_alloc(a, g->n_node + 2u, sizeof *o->live);
    if (!made || !last || !o->node || !o->live)
        return SQZ_E_NOMEM;
    o->n = 0;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        const uint32_t i = o->n++;
        o->node[i] = id;
        for (unsigned k = 0; k < n->n_in; k++)
            if (n->in[k] != SQZ_NONE)
                last[n->in[k]] = i;
        for (unsigned k = 0; k < n->n_out; k++)
            if (n->out[k] != SQZ_NONE)
                made[n->out[k]] = i + 1; /* 0: before all */
    }
    for (uint32_t k = 0; k < g->n_output; k++)
        last[g->output[k]] = o->n;
    for (sqz_vid v = 0; v < g->n_value; v++)
        if (!sqz_value_dead(sqz_val(g, v)) && !sqz_val(g, v)->constant)
            for (uint32_t i = made[v]; i <= last[v]; i++)
                o->live[i]++;
    return SQZ_OK;
}

typedef struct builder {
    const order *o;
    const sqz_site *site;
    uint32_t n_site, next; /* the first site that is in no block yet */
    sqz_block *list;
    uint32_t n, begin; /* blocks that are closed; the first node of the open one */
    uint32_t held;     /* its sites */
} builder;

static void close_block(builder *b, uint32_t end)
{
    if (end == b->begin)
        return;
    b->list[b->n++] = (sqz_block){.begin = b->o->node[b->begin],
                                  .end = end < b->o->n ? b->o->node[end] : SQZ_NONE,
                                  .site = b->next,
                                  .n_site = b->held};
    b->next += b->held;
    b->begin = end;
    b->held = 0;
}

/* Sites of nodes [from, to), of those that no block has. */
static uint32_t sites_in(const builder *b, uint32_t from, uint32_t to)
{
    uint32_t n = 0;
    for (uint32_t k = b->next; k < b->n_site; k++)
        for (uint32_t i = from; i < to; i++)
            n += b->site[k].node == b->o->node[i];
    return n;
}

/* A piece without a narrow place inside, too long to be tuned as one. */
static void cut_long(builder *b, uint32_t from, uint32_t to, uint32_t chain)
{
    for (uint32_t i = from; i < to; i++) {
        const uint32_t one = sites_in(b, i, i + 1);
        if (one && b->held + one > chain)
            close_block(b, i);
        b->held += one;
    }
}

sqz_status sqz_blocks_find(const sqz_graph *reference, const sqz_site *site, uint32_t n_site,
                           uint32_t chain, sqz_arena *a, sqz_block **list, uint32_t *n)
{
    order o;
    SQZ_TRY(make_order(reference, a, &o));
    builder b = {.o = &o, .site = site, .n_site = n_site};
    b.list = sqz_arena_alloc(a, o.n + 1u, sizeof *b.list);
    if (!b.list)
        return SQZ_E_NOMEM;
    bool joined = false; /* the open block is one of several branches */
    for (uint32_t from = 0, to; from < o.n; from = to) {
        for (to = from + 1; to < o.n && o.live[to] != 1; to++)
            ;
        const uint32_t here = sites_in(&b, from, to);
        if (here && b.held && (joined || here > 1 || b.held + here > chain)) {
            close_block(&b, from);
            joined = false;
        }
        joined = joined || here > 1;
        if (here > SQZ_BLOCK_MOST)
            cut_long(&b, from, to, chain);
        else
            b.held += here;
    }
    close_block(&b, o.n);
    *list = b.list;
    *n = b.n;
    return SQZ_OK;
}
