/* qdq_hoist.c: moves before a quantize node.
 *
 * Rounding commutes with everything that only hands numbers on: quantize(move(x)) is
 * move(quantize(x)). So a quantize node goes up through such operators, to the operator that
 * computes (where it may fold), or to a dequantize (where both are one requantize). */
#include "canon/qdq.h"

typedef struct hoist {
    sqz_vid *like;   /* of a value: the integer value whose grid its readers want, or SQZ_NONE */
    uint32_t *count; /* of a value: how many readers want that */
    bool *clash;     /* of a value: they want several */
    sqz_vid *goal;   /* of a node that becomes integer: the value whose grid it gets */
    sqz_vid *copy;   /* of a value: its codes */
} hoist;

static bool same_codes(const sqz_value *a, const sqz_value *b)
{
    return a->was_u8 == b->was_u8 && sqz_qdq_same_grid(a->quant, b->quant);
}

static void want(const sqz_qdq_work *w, hoist *h, sqz_vid v, sqz_vid like)
{
    if (h->like[v] == SQZ_NONE)
        h->like[v] = like;
    else if (!same_codes(sqz_val(w->g, h->like[v]), sqz_val(w->g, like)))
        h->clash[v] = true;
    h->count[v]++;
}

/* The one grid that all readers of all outputs want; SQZ_NONE: there is none. */
static sqz_vid wanted(const sqz_qdq_work *w, const hoist *h, const sqz_node *n)
{
    sqz_vid like = h->like[n->out[0]];
    for (unsigned i = 0; i < n->n_out && like != SQZ_NONE; i++) {
        sqz_vid v = n->out[i];
        if (sqz_val(w->g, v)->dtype != SQZ_F32 || h->like[v] == SQZ_NONE || h->clash[v] ||
            h->count[v] != sqz_n_uses(&w->u, v) ||
            !same_codes(sqz_val(w->g, h->like[v]), sqz_val(w->g, like)))
            like = SQZ_NONE;
    }
    for (unsigned k = 0; k < n->n_in && like != SQZ_NONE; k++)
        if (n->in[k] != SQZ_NONE && sqz_qdq_is_data(n, k) &&
            sqz_val(w->g, n->in[k])->dtype != SQZ_F32)
            like = SQZ_NONE;
    return like;
}

/* From the last node to the first: who can read codes. */
static void plan_hoists(const sqz_qdq_work *w, hoist *h)
{
    for (sqz_nid id = w->g->last; id != SQZ_NONE; id = sqz_nod(w->g, id)->prev) {
        const sqz_node *n = sqz_nod(w->g, id);
        h->goal[id] = SQZ_NONE;
        if (sqz_qdq_is_op(n, "quantize") && sqz_qdq_is_activation(sqz_val(w->g, n->out[0])))
            want(w, h, n->in[0], n->out[0]);
        if (n->op->quant.kind != SQZ_Q_SAME || !sqz_qdq_has_integer_form(n->op) || n->n_out == 0)
            continue;
        sqz_vid like = wanted(w, h, n);
        if (like == SQZ_NONE || sqz_qdq_inputs_fit(w, n, sqz_val(w->g, like)->quant))
            continue; /* the second: folds as it stands */
        h->goal[id] = like;
        for (unsigned k = 0; k < n->n_in; k++)
            if (n->in[k] != SQZ_NONE && sqz_qdq_is_data(n, k))
                want(w, h, n->in[k], like);
    }
}

/* Codes of v, made before node `before`. */
static sqz_status codes_of(sqz_qdq_work *w, hoist *h, sqz_vid v, const sqz_value *like,
                           sqz_nid before, sqz_vid *out)
{
    sqz_graph *g = w->g;
    *out = h->copy[v];
    if (sqz_val(g, v)->quant) { /* made by a node that reads codes as well */
        *out = v;
        return SQZ_OK;
    }
    if (*out != SQZ_NONE && same_codes(sqz_val(g, *out), like))
        return SQZ_OK;
    SQZ_TRY(sqz_graph_node_text(g, "quantize", NULL, "dtype=s8", &v, 1, before, out));
    SQZ_TRY(sqz_qdq_to_integers(w, *out, like));
    const sqz_nid maker = sqz_val(g, *out)->producer;
    if (sqz_node_foldable(g, sqz_nod(g, maker)))
        SQZ_TRY(sqz_fold_node(g, maker));
    h->copy[v] = *out;
    return SQZ_OK;
}

static sqz_status hoist_one(sqz_qdq_work *w, hoist *h, sqz_nid id, uint32_t n_value)
{
    sqz_node *n = sqz_nod(w->g, id);
    const sqz_value like = *sqz_val(w->g, h->goal[id]);
    for (unsigned k = 0; k < n->n_in; k++)
        if (n->in[k] != SQZ_NONE && n->in[k] < n_value && sqz_qdq_is_data(n, k))
            SQZ_TRY(codes_of(w, h, n->in[k], &like, id, &n->in[k]));
    for (unsigned i = 0; i < n->n_out; i++) {
        SQZ_TRY(sqz_qdq_to_integers(w, n->out[i], &like));
        SQZ_TRY(sqz_qdq_take_over(w, n->out[i]));
    }
    w->folded++;
    return SQZ_OK;
}

sqz_status sqz_qdq_hoist(sqz_qdq_work *w)
{
    const uint32_t n_value = w->g->n_value, n_node = w->g->n_node;
    hoist h = {.like = sqz_arena_alloc(w->a, n_value + 1u, sizeof *h.like),
               .count = sqz_arena_alloc(w->a, n_value + 1u, sizeof *h.count),
               .clash = sqz_arena_alloc(w->a, n_value + 1u, sizeof *h.clash),
               .goal = sqz_arena_alloc(w->a, n_node + 1u, sizeof *h.goal),
               .copy = sqz_arena_alloc(w->a, n_value + 1u, sizeof *h.copy)};
    if (!h.like || !h.count || !h.clash || !h.goal || !h.copy)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < n_value; v++)
        h.like[v] = h.copy[v] = SQZ_NONE;
    plan_hoists(w, &h);
    SQZ_EACH_NODE(w->g, id)
    {
        if (id < n_node && h.goal[id] != SQZ_NONE)
            SQZ_TRY(hoist_one(w, &h, id, n_value));
    }
    return sqz_uses_build(w->g, w->a, &w->u);
}
