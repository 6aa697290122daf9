/* ptq_coded.c: weights on grids under nodes that compute in float: codes -> dequantize -> node. So
 * stand weights whose scales are shared by blocks of terms, those of weight-only quantization,
 * those beside activations of 16 or 4 bits, and those of recurrent operators: W (directions,
 * gates*H, I), R (directions, gates*H, H), one scale for each row of a gate over all directions. */
#include "quant/ptq.h"
#include "quant/wgrid.h"
#include <string.h>

#define ROWS 1 /* axis of the rows of a recurrent weight */

/* ---- what is on a grid ---- */

static bool is_recurrent(const sqz_node *n)
{
    const char *op = n->op->info.name;
    return strcmp(op, "lstm") == 0 || strcmp(op, "gru") == 0 || strcmp(op, "rnn") == 0;
}

/* The axis along which terms are summed up. */
static int32_t terms_axis(const sqz_node *n, int32_t rank, int32_t channels)
{
    if (channels == 0)
        return rank - 1;
    return n->op->layout == SQZ_L_CHANNELS ? 0 : channels - 1; /* (I,Kh,Kw,O), (...,K,N) */
}

int32_t sqz_ptq_group(const sqz_ptq *p, sqz_nid id, int32_t *axis)
{
    const sqz_node *n = sqz_nod(p->g, id);
    const sqz_shape *s = &sqz_val(p->g, n->in[n->op->quant.weight])->shape;
    const int32_t c = n->op->quant.channel_axis, channels = c < 0 ? s->rank + c : c;
    const int32_t group = p->scheme[id].group;
    *axis = channels;
    if (group == 0 || s->rank < 2 || channels < 0 || channels >= s->rank)
        return 0;
    const int32_t terms = terms_axis(n, s->rank, channels);
    if (s->dim[terms] <= group)
        return 0;
    *axis = terms;
    return group;
}

/* ---- putting it there ---- */

typedef struct made { /* what a weight became */
    sqz_vid out;      /* of the dequantize; SQZ_NONE: nothing yet */
    sqz_wspec spec;
} made;

static bool same_spec(const sqz_wspec *a, const sqz_wspec *b)
{
    return a->bits == b->bits && a->axis == b->axis && a->group == b->group;
}

static sqz_status put(sqz_ptq *p, sqz_nid id, unsigned slot, const sqz_wspec *spec, made *m)
{
    sqz_graph *g = p->g;
    const sqz_vid old = sqz_nod(g, id)->in[slot];
    const sqz_value *w = sqz_val(g, old);
    sqz_range unused;
    size_t masked;
    sqz_quant q;
    sqz_tensor codes;
    sqz_vid v, out;
    sqz_arena a = {.ctx = g->ctx};
    SQZ_TRY(sqz_ptq_constant_range(p, old, &unused, &masked));
    if (masked)
        return sqz_fail(g->ctx, SQZ_E_FORMAT, "weights '%s': %zu numbers are below -1e30", w->name,
                        masked);
    sqz_status s = sqz_weight_grid(g->ctx, &a, w->constant, spec, &q);
    if (s == SQZ_OK)
        s = sqz_weight_codes(g->ctx, w->constant, &q, &codes);
    if (s == SQZ_OK)
        s = sqz_graph_constant(g, w->name, &codes, &v);
    if (s == SQZ_OK)
        s = sqz_value_set_grid(g, v, &q);
    sqz_arena_free(&a);
    SQZ_TRY(s);
    sqz_val(g, v)->channel_last = w->channel_last;
    SQZ_TRY(sqz_graph_node_text(g, "dequantize", NULL, "", &v, 1, id, &out));
    sqz_val(g, out)->channel_last = w->channel_last;
    *m = (made){out, *spec};
    return SQZ_OK;
}

/* Nodes that read a weight in the same way share its codes. */
static sqz_status code(sqz_ptq *p, sqz_nid id, unsigned slot, const sqz_wspec *spec, made *list)
{
    const sqz_vid v = sqz_nod(p->g, id)->in[slot];
    made *m = &list[v], own;
    if (m->out == SQZ_NONE)
        SQZ_TRY(put(p, id, slot, spec, m));
    else if (!same_spec(&m->spec, spec)) {
        SQZ_TRY(put(p, id, slot, spec, &own));
        m = &own;
    }
    sqz_nod(p->g, id)->in[slot] = m->out;
    return SQZ_OK;
}

static sqz_wspec spec_of(const sqz_ptq *p, sqz_scheme s, int32_t axis, int32_t group)
{
    const bool one = p->o->per_tensor && !group;
    return (sqz_wspec){s.bits, one ? -1 : axis, group, sqz_ptq_rule(p, s), p->o->pow2 != 0};
}

static bool is_matrix_stack(const sqz_graph *g, sqz_vid v)
{
    const sqz_value *w = v == SQZ_NONE ? NULL : sqz_val(g, v);
    return w && w->constant && w->dtype == SQZ_F32 && w->shape.rank == 3 && w->constant->count > 0;
}

static sqz_status code_recurrent(sqz_ptq *p, sqz_nid id, made *list)
{
    const sqz_node *n = sqz_nod(p->g, id);
    const sqz_wspec spec = spec_of(p, p->scheme[id], ROWS, 0);
    bool excluded, any = false;
    SQZ_TRY(sqz_node_selected(p->g, id, p->o->exclude, &excluded));
    for (unsigned slot = 1; slot <= 2 && slot < n->n_in && !excluded && spec.bits <= 8; slot++) {
        if (!is_matrix_stack(p->g, n->in[slot]))
            continue;
        SQZ_TRY(code(p, id, slot, &spec, list));
        any = true;
    }
    if (any)
        sqz_ptq_fact(p, "node '%s' (%s): its weights are int%u, it computes in float32", n->name,
                     n->op->info.name, spec.bits);
    return SQZ_OK;
}

static sqz_status drop_unused(sqz_ptq *p, const made *list)
{
    sqz_uses u;
    SQZ_TRY(sqz_uses_build(p->g, p->a, &u));
    for (sqz_vid v = 0; v < p->n_value; v++)
        if (list[v].out != SQZ_NONE && !sqz_n_uses(&u, v))
            sqz_graph_remove_value(p->g, v);
    return SQZ_OK;
}

sqz_status sqz_ptq_coded(sqz_ptq *p)
{
    made *list = sqz_arena_alloc(p->a, p->n_value + 1u, sizeof *list);
    if (!list)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < p->n_value; v++)
        list[v].out = SQZ_NONE;
    SQZ_EACH_NODE(p->g, id)
    {
        const sqz_node *n = sqz_nod(p->g, id);
        if (id < p->n_node && is_recurrent(n))
            SQZ_TRY(code_recurrent(p, id, list));
        if (id >= p->n_node || !p->coded[id])
            continue;
        int32_t axis;
        const int32_t group = sqz_ptq_group(p, id, &axis);
        const sqz_wspec spec = spec_of(p, p->scheme[id], axis, group);
        SQZ_TRY(sqz_note(p->g->ctx, code(p, id, (unsigned)n->op->quant.weight, &spec, list),
                         "node '%s' (%s)", n->name, n->op->info.name));
    }
    return drop_unused(p, list);
}
