/* boundary.c: the graph as the device sees it. Where a graph begins by quantizing an input, or ends
 * by dequantizing an output, the application hands over and takes integers: the conversion and the
 * four times larger float copy are not the network's. */
#include "device/boundary.h"
#include <string.h>

static bool only_moves(const sqz_node *n)
{
    return n->n_in >= 1 && n->n_out == 1 && (n->op->traits & (SQZ_T_MOVES | SQZ_T_VIEW));
}

/* The graph input that `v` is, or is a rearrangement of, with nobody else reading on the way. */
static bool comes_from_input(const sqz_graph *g, const sqz_uses *u, sqz_vid v)
{
    for (;; v = sqz_nod(g, sqz_val(g, v)->producer)->in[0]) {
        const sqz_value *val = sqz_val(g, v);
        if (sqz_n_uses(u, v) != 1 || val->dtype != SQZ_F32)
            return false;
        if (val->producer == SQZ_NONE)
            return val->role == SQZ_ROLE_INPUT;
        if (!only_moves(sqz_nod(g, val->producer)))
            return false;
    }
}

static bool goes_to_output(const sqz_graph *g, const sqz_uses *u, sqz_vid v)
{
    for (;;) {
        if (sqz_n_uses(u, v) != 1 || sqz_val(g, v)->dtype != SQZ_F32)
            return false;
        sqz_nid reader = u->node[u->first[v]];
        if (reader == SQZ_NONE)
            return true;
        if (!only_moves(sqz_nod(g, reader)) || u->slot[u->first[v]] != 0)
            return false;
        v = sqz_nod(g, reader)->out[0];
    }
}

static void retype(sqz_graph *g, sqz_vid v, const sqz_value *like)
{
    sqz_val(g, v)->dtype = like->dtype;
    sqz_val(g, v)->quant = like->quant;
}

static void drop(sqz_graph *g, sqz_nid id, const sqz_uses *u)
{
    sqz_node *n = sqz_nod(g, id);
    const sqz_value *grid = sqz_val(g, strcmp(n->op->info.name, "quantize") == 0 ? n->out[0]
                                                                                 : n->in[0]);
    if (grid == sqz_val(g, n->out[0])) {
        for (sqz_vid v = n->in[0];; v = sqz_nod(g, sqz_val(g, v)->producer)->in[0]) {
            retype(g, v, grid);
            if (sqz_val(g, v)->producer == SQZ_NONE)
                break;
        }
    } else {
        for (sqz_vid v = n->out[0];; v = sqz_nod(g, u->node[u->first[v]])->out[0]) {
            retype(g, v, grid);
            if (u->node[u->first[v]] == SQZ_NONE)
                break;
        }
    }
    sqz_graph_replace_uses(g, n->out[0], n->in[0]);
    sqz_graph_remove(g, id);
}

sqz_status sqz_device_graph(const sqz_graph *from, bool float_io, sqz_graph **out)
{
    sqz_graph *g = NULL;
    sqz_uses u;
    SQZ_TRY(sqz_graph_clone(from, &g));
    sqz_arena a = {.ctx = g->ctx};
    sqz_status s = sqz_uses_build(g, &a, &u);
    if (s == SQZ_OK && !float_io)
        SQZ_EACH_NODE(g, n)
        {
            const sqz_node *node = sqz_nod(g, n);
            bool in = strcmp(node->op->info.name, "quantize") == 0;
            bool back = strcmp(node->op->info.name, "dequantize") == 0;
            if ((in && comes_from_input(g, &u, node->in[0])) ||
                (back && goes_to_output(g, &u, node->out[0])))
                drop(g, n, &u);
        }
    sqz_arena_free(&a);
    if (s != SQZ_OK) {
        sqz_graph_free(g);
        g = NULL;
    }
    *out = g;
    return s;
}
