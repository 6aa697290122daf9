/* ptq_scheme.c: bits and blocks of each node's weights: what the options say for all, 8 bits for
 * the first and last products where that costs little or is asked for, and exceptions by name
 * ("conv1:8, block.*:4"). */
#include "quant/ptq.h"
#include <string.h>

#define FLOAT_BITS 32

bool sqz_ptq_has_weights(const sqz_graph *g, const sqz_node *n)
{
    const sqz_qrule *r = &n->op->quant;
    return r->kind == SQZ_Q_LINEAR && r->weight && (unsigned)r->weight < n->n_in &&
           n->in[r->weight] != SQZ_NONE && sqz_val(g, n->in[r->weight])->constant;
}

/* ---- ends of the model ---- */

/* passed[v]: v is computed from a product. */
static void look_forward(const sqz_ptq *p, bool *passed)
{
    SQZ_EACH_NODE(p->g, id)
    {
        const sqz_node *n = sqz_nod(p->g, id);
        bool any = sqz_ptq_has_weights(p->g, n);
        for (unsigned i = 0; i < n->n_in; i++)
            any = any || (n->in[i] != SQZ_NONE && passed[n->in[i]]);
        for (unsigned k = 0; k < n->n_out; k++)
            passed[n->out[k]] = any;
    }
}

/* awaited[v]: a product is computed from v. */
static void look_back(const sqz_ptq *p, bool *awaited)
{
    for (sqz_nid id = p->g->last; id != SQZ_NONE; id = sqz_nod(p->g, id)->prev) {
        const sqz_node *n = sqz_nod(p->g, id);
        bool any = sqz_ptq_has_weights(p->g, n);
        for (unsigned k = 0; k < n->n_out; k++)
            any = any || awaited[n->out[k]];
        for (unsigned i = 0; i < n->n_in && any; i++)
            if (n->in[i] != SQZ_NONE)
                awaited[n->in[i]] = true;
    }
}

static double n_weights(const sqz_graph *g, const sqz_node *n)
{
    return (double)sqz_val(g, n->in[n->op->quant.weight])->constant->count;
}

typedef struct ends {
    bool *passed, *awaited;    /* by value */
    double first, last, total; /* weights */
} ends;

static bool is_first(const ends *e, const sqz_node *n) { return !e->passed[n->in[0]]; }
static bool is_last(const ends *e, const sqz_node *n) { return !e->awaited[n->out[0]]; }

static sqz_status find_ends(const sqz_ptq *p, ends *e)
{
    *e = (ends){.passed = sqz_arena_alloc(p->a, p->n_value + 1u, sizeof *e->passed),
                .awaited = sqz_arena_alloc(p->a, p->n_value + 1u, sizeof *e->awaited)};
    if (!e->passed || !e->awaited)
        return SQZ_E_NOMEM;
    look_forward(p, e->passed);
    look_back(p, e->awaited);
    SQZ_EACH_NODE(p->g, id)
    {
        const sqz_node *n = sqz_nod(p->g, id);
        const double w = sqz_ptq_has_weights(p->g, n) ? n_weights(p->g, n) : 0;
        e->total += w;
        e->first += w > 0 && is_first(e, n) ? w : 0;
        e->last += w > 0 && is_last(e, n) ? w : 0;
    }
    return SQZ_OK;
}

/* What the first products see of the input and the last ones show of the result pass through no
 * other; where they are small, 8 bits cost next to nothing. */
static sqz_status set_edges(sqz_ptq *p)
{
    const double small = p->o->edges < 0 ? 0.1 : 1; /* of all weights */
    const uint8_t bits = (uint8_t)(p->o->edges < 0 ? 8 : p->o->edges);
    ends e;
    SQZ_TRY(find_ends(p, &e));
    SQZ_EACH_NODE(p->g, id)
    {
        const sqz_node *n = sqz_nod(p->g, id);
        if (!sqz_ptq_has_weights(p->g, n) || p->scheme[id].bits >= bits)
            continue;
        if ((is_first(&e, n) && e.first <= small * e.total) ||
            (is_last(&e, n) && e.last <= small * e.total))
            p->scheme[id] = (sqz_scheme){.bits = bits};
    }
    return SQZ_OK;
}

/* ---- exceptions ---- */

/* "name:bits" -> name cut off, bits. */
static sqz_status read_entry(const sqz_ptq *p, char *entry, uint8_t *bits)
{
    static const struct {
        const char *text;
        uint8_t bits;
    } row[] = {{"2", 2}, {"3", 3}, {"4", 4}, {"8", 8}, {"float", FLOAT_BITS}};
    char *colon = strrchr(entry, ':');
    for (size_t i = 0; colon && i < SQZ_COUNT(row); i++)
        if (strcmp(colon + 1, row[i].text) == 0) {
            *colon = '\0';
            *bits = row[i].bits;
            return SQZ_OK;
        }
    return sqz_fail(p->g->ctx, SQZ_E_ARG,
                    "'%s': expected a node, ':', and 2, 3, 4, 8 bits or 'float'", entry);
}

/* Most entries are names of nodes: no need to try them as expressions on every other. */
static bool is_node_name(const sqz_graph *g, const char *text)
{
    SQZ_EACH_NODE(g, id)
    {
        if (strcmp(sqz_nod(g, id)->name, text) == 0)
            return true;
    }
    return false;
}

/* The first entry that names a node decides. */
static sqz_status apply_entry(sqz_ptq *p, const char *entry, uint8_t bits, bool *set)
{
    const bool name = is_node_name(p->g, entry);
    SQZ_TRY(sqz_selection_check(p->g, entry));
    SQZ_EACH_NODE(p->g, id)
    {
        bool yes = name && strcmp(sqz_nod(p->g, id)->name, entry) == 0;
        if (set[id])
            continue;
        if (!name)
            SQZ_TRY(sqz_node_selected(p->g, id, entry, &yes));
        if (!yes)
            continue;
        set[id] = true;
        p->scheme[id] = (sqz_scheme){.bits = bits, .group = bits < 8 ? (int32_t)p->o->group : 0};
    }
    return SQZ_OK;
}

static sqz_status set_exceptions(sqz_ptq *p)
{
    const char *list = p->o->bits, *entry;
    size_t len;
    bool *set = sqz_arena_alloc(p->a, p->n_node + 1u, sizeof *set);
    if (!set)
        return SQZ_E_NOMEM;
    while (list && sqz_next_entry(&list, &entry, &len)) {
        uint8_t bits = 0;
        char *text = sqz_arena_strndup(p->a, entry, len);
        if (!text)
            return SQZ_E_NOMEM;
        SQZ_TRY(read_entry(p, text, &bits));
        SQZ_TRY(apply_entry(p, text, bits, set));
    }
    return SQZ_OK;
}

/* ---- all ---- */

static sqz_status check_options(const sqz_ptq *p)
{
    const sqz_ptq_options *o = p->o;
    sqz_ctx *ctx = p->g->ctx;
    if (o->weights != 8 && (o->weights < 2 || o->weights > 4))
        return sqz_fail(ctx, SQZ_E_ARG, "weights of %lld bits, expected 8, 4, 3 or 2",
                        (long long)o->weights);
    if (o->group && (o->group < 8 || o->group % 8))
        return sqz_fail(ctx, SQZ_E_ARG, "blocks of %lld terms, expected a multiple of 8",
                        (long long)o->group);
    if (o->group && o->per_tensor)
        return sqz_fail(ctx, SQZ_E_ARG,
                        "one scale for a tensor (per_tensor), or one for each "
                        "block (group): not both");
    if (o->activations != 0 && o->activations != 4 && o->activations != 8 && o->activations != 16)
        return sqz_fail(ctx, SQZ_E_ARG, "activations of %lld bits, expected 8, 16, 4, or 0 (float)",
                        (long long)o->activations);
    if (o->dynamic && (o->weights != 8 || o->group || o->activations != 8))
        return sqz_fail(ctx, SQZ_E_ARG,
                        "dynamic grids go with 8 bits of weights and activations, without blocks");
    if (o->edges > 4 && o->edges < 8)
        return sqz_fail(ctx, SQZ_E_ARG, "edges of %lld bits, expected 8, 4, 3 or 2",
                        (long long)o->edges);
    return SQZ_OK;
}

sqz_status sqz_ptq_schemes(sqz_ptq *p)
{
    SQZ_TRY(check_options(p));
    p->scheme = sqz_arena_alloc(p->a, p->n_node + 1u, sizeof *p->scheme);
    if (!p->scheme)
        return SQZ_E_NOMEM;
    for (sqz_nid id = 0; id < p->n_node; id++)
        p->scheme[id] = (sqz_scheme){.bits = (uint8_t)p->o->weights, .group = (int32_t)p->o->group};
    if (p->o->edges)
        SQZ_TRY(set_edges(p));
    return sqz_note(p->g->ctx, set_exceptions(p), "bits");
}

sqz_wrule sqz_ptq_rule(const sqz_ptq *p, sqz_scheme s)
{
    static const sqz_wrule row[] = {[1] = SQZ_W_MINMAX, [2] = SQZ_W_MSE, [3] = SQZ_W_LSQ};
    return p->o->ranges ? row[p->o->ranges] : s.bits < 8 ? SQZ_W_MSE : SQZ_W_MINMAX;
}
