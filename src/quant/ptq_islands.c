/* ptq_islands.c: nodes that could be integer and are better off float.
 *
 * An elementwise node whose results only float nodes and outputs of the graph read would round them
 * to 8 bits, to be dequantized at once: that costs accuracy and saves nothing. Logarithms, roots
 * and reciprocals tell numbers near 0 apart, which steps of equal size do not: they stay float, and
 * so by the first rule does what is computed for them, back to the last convolution or product. */
#include "quant/ptq.h"
#include <string.h>

#define LARGE 1024

static bool tells_small_numbers_apart(const sqz_op *op)
{
    static const char *const name[] = {"log", "sqrt", "reciprocal"};
    for (size_t i = 0; i < SQZ_COUNT(name); i++)
        if (strcmp(op->info.name, name[i]) == 0)
            return true;
    return false;
}

/* Rounds its results anew, at little cost in float. */
static bool is_soft(const sqz_op *op)
{
    const sqz_qkind k = op->quant.kind;
    return (k == SQZ_Q_REALIGN || k == SQZ_Q_LUT) && !(op->traits & SQZ_T_RELU_LIKE) &&
           (op->traits & SQZ_T_ELEMENTWISE || strcmp(op->info.name, "reduce_mean") == 0);
}

/* A large constant operand would be four times as large in float. */
static bool has_large_constant(const sqz_graph *g, const sqz_node *n)
{
    for (unsigned i = 0; i < n->n_in; i++)
        if (n->in[i] != SQZ_NONE && sqz_val(g, n->in[i])->constant &&
            sqz_val(g, n->in[i])->constant->count > LARGE)
            return true;
    return false;
}

/* An integer node that computes reads a result of n, at once or as it is handed on. */
static bool feeds_integers(const sqz_ptq *p, const sqz_node *n, const bool *leads)
{
    for (unsigned k = 0; k < n->n_out; k++)
        for (uint32_t u = p->uses.first[n->out[k]]; u < p->uses.first[n->out[k] + 1]; u++) {
            const sqz_nid user = p->uses.node[u];
            if (user != SQZ_NONE && leads[user] &&
                sqz_ptq_is_data(p->g, sqz_nod(p->g, user), p->uses.slot[u]))
                return true;
        }
    return false;
}

sqz_status sqz_ptq_islands(sqz_ptq *p, bool *able, const char **why)
{
    bool *leads = sqz_arena_alloc(p->a, p->n_node + 1u, sizeof *leads);
    if (!leads)
        return SQZ_E_NOMEM;
    for (sqz_nid id = p->g->last; id != SQZ_NONE; id = sqz_nod(p->g, id)->prev) {
        const sqz_node *n = sqz_nod(p->g, id);
        if (!able[id])
            continue;
        if (!p->integer[id]) { /* hands numbers on */
            leads[id] = feeds_integers(p, n, leads);
            continue;
        }
        if (tells_small_numbers_apart(n->op))
            why[id] = "it tells numbers near 0 apart, which 8 bits do not";
        else if (is_soft(n->op) && !feeds_integers(p, n, leads) && !has_large_constant(p->g, n))
            why[id] = "only float nodes read it";
        able[id] = p->integer[id] = leads[id] = !why[id];
    }
    return SQZ_OK;
}
