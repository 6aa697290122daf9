/* codes.c: see codes.h.
 *
 *     constant on a grid -> dequantize -> [transpose] -> weight of a product
 *
 * A float product reads its weights from memory once for each use; codes of 4 bits are an eighth
 * of that. */
#include "exec/codes.h"
#include "ops/coded.h"
#include <string.h>

typedef struct finder {
    sqz_graph *g;
    sqz_uses uses;
} finder;

static bool is_named(const sqz_node *n, const char *name)
{
    return strcmp(n->op->info.name, name) == 0;
}

static const sqz_attr *trans_of(const sqz_op *op)
{
    for (unsigned i = 0; i < op->info.n_opts; i++)
        if (strcmp(op->info.opts[i].name, "trans_b") == 0)
            return &op->info.opts[i];
    return NULL;
}

static bool is_swap(const sqz_graph *g, const sqz_node *n)
{
    if (!is_named(n, "transpose") || sqz_val(g, n->in[0])->shape.rank != 2)
        return false;
    const sqz_attr *perm = &n->op->info.opts[0];
    const sqz_ints *p = sqz_opt_field(perm, n->attrs);
    return p->n == 0 || (p->n == 2 && p->v[0] == 1);
}

/* Axis of the weight along which a node adds up, with `trans` more transpositions in front. */
static int32_t terms_axis(const sqz_node *n, bool trans)
{
    const sqz_attr *t = trans_of(n->op);
    const bool own = t && *(const int64_t *)sqz_opt_field(t, n->attrs);
    const int32_t terms = n->op->quant.channel_axis == 0 ? 1 : 0; /* of gemm (O,I), matmul (K,N) */
    return terms ^ (own != trans);
}

static bool takes(const finder *f, sqz_nid id, uint16_t slot, const sqz_value *w, bool trans)
{
    if (id == SQZ_NONE)
        return false;
    const sqz_node *n = sqz_nod(f->g, id);
    if (!(n->op->traits & SQZ_T_CODED) || slot != 1 || (trans && !trans_of(n->op)))
        return false;
    const sqz_value *x = sqz_val(f->g, n->in[0]), *y = sqz_val(f->g, n->out[0]);
    return x->dtype == SQZ_F32 && !x->quant && y->dtype == SQZ_F32 && !y->quant &&
           sqz_coded_fits(w->quant, &w->shape, terms_axis(n, trans));
}

static bool all_take(const finder *f, sqz_vid v, const sqz_value *w, bool trans)
{
    for (uint32_t u = f->uses.first[v]; u < f->uses.first[v + 1]; u++)
        if (!takes(f, f->uses.node[u], f->uses.slot[u], w, trans))
            return false;
    return sqz_n_uses(&f->uses, v) > 0;
}

static sqz_status turn(sqz_graph *g, sqz_nid id)
{
    const sqz_node *n = sqz_nod(g, id);
    char attrs[64];
    const sqz_attr *t = trans_of(n->op);
    if (n->op->info.opt_size > sizeof attrs)
        return sqz_fail(g->ctx, SQZ_E_INTERNAL, "node '%s': %zu bytes of attributes", n->name,
                        n->op->info.opt_size);
    memcpy(attrs, n->attrs, n->op->info.opt_size);
    int64_t *field = sqz_opt_field(t, attrs);
    *field = !*field;
    return sqz_node_set_attrs(g, id, attrs);
}

/* The uses of v, which is what is made of the constant c, read c. */
static sqz_status redirect(const finder *f, sqz_vid v, sqz_vid c, bool trans)
{
    for (uint32_t u = f->uses.first[v]; u < f->uses.first[v + 1]; u++) {
        sqz_nod(f->g, f->uses.node[u])->in[1] = c;
        if (trans)
            SQZ_TRY(turn(f->g, f->uses.node[u]));
    }
    return SQZ_OK;
}

/* The node dequantizes a constant: where it is used as codes, that is what is used. */
static sqz_status keep(const finder *f, sqz_nid id)
{
    sqz_graph *g = f->g;
    const sqz_node *n = sqz_nod(g, id);
    const sqz_vid c = n->in[0], y = n->out[0];
    const sqz_value *w = sqz_val(g, c);
    if (!w->constant || !w->quant)
        return SQZ_OK;
    if (all_take(f, y, w, false)) {
        SQZ_TRY(redirect(f, y, c, false));
        sqz_graph_remove(g, id);
        return SQZ_OK;
    }
    const sqz_nid user = sqz_n_uses(&f->uses, y) == 1 ? f->uses.node[f->uses.first[y]] : SQZ_NONE;
    if (user == SQZ_NONE || !is_swap(g, sqz_nod(g, user)) ||
        !all_take(f, sqz_nod(g, user)->out[0], w, true))
        return SQZ_OK;
    SQZ_TRY(redirect(f, sqz_nod(g, user)->out[0], c, true));
    sqz_graph_remove(g, user);
    sqz_graph_remove(g, id);
    return SQZ_OK;
}

sqz_status sqz_keep_codes(sqz_graph *g)
{
    sqz_arena a = {.ctx = g->ctx};
    finder f = {.g = g};
    sqz_status s = sqz_uses_build(g, &a, &f.uses);
    for (sqz_nid id = 0; id < g->n_node && s == SQZ_OK; id++)
        if (!sqz_nod(g, id)->dead && is_named(sqz_nod(g, id), "dequantize"))
            s = keep(&f, id);
    sqz_arena_free(&a);
    return s;
}

bool sqz_node_is_coded(const sqz_graph *g, const sqz_node *n)
{
    if (!(n->op->traits & SQZ_T_CODED) || n->n_in < 2 || n->in[0] == SQZ_NONE)
        return false;
    const sqz_value *x = sqz_val(g, n->in[0]), *w = sqz_val(g, n->in[1]);
    return w->quant && w->constant && !x->quant && !sqz_val(g, n->out[0])->quant;
}
