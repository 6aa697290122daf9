/* layers.c: per-layer error against a reference. */
#include "eval/layers.h"
#include <math.h>
#include <string.h>

/* In front of a clamp that the grid already makes, the value is the clamped one: its reference
 * stands behind it. */
static sqz_status mark_clamped(sqz_arena *a, const sqz_graph *g, bool **out)
{
    *out = sqz_arena_alloc(a, g->n_value + 1u, sizeof **out);
    if (!*out)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        if ((n->op->traits & SQZ_T_RELU_LIKE) && n->in[0] != SQZ_NONE &&
            sqz_val(g, n->in[0])->quant && sqz_node_is_view(g, n))
            (*out)[n->in[0]] = true;
    }
    return SQZ_OK;
}

/* The node that computes v: a clamp that its grid makes, and nodes that change its type, only hand
 * it on. */
static sqz_nid maker(const sqz_graph *g, sqz_vid v, const bool *clamped)
{
    sqz_nid id = sqz_val(g, v)->producer;
    while (id != SQZ_NONE) {
        const sqz_node *n = sqz_nod(g, id);
        sqz_vid x = n->n_in ? n->in[0] : SQZ_NONE;
        bool border = strcmp(n->op->info.name, "quantize") == 0 ||
                      strcmp(n->op->info.name, "dequantize") == 0 ||
                      strcmp(n->op->info.name, "requantize") == 0;
        if (x == SQZ_NONE || sqz_val(g, x)->producer == SQZ_NONE || !(border || clamped[x]))
            break;
        id = sqz_val(g, x)->producer;
    }
    return id;
}

static sqz_status add_pair(sqz_arena *a, const sqz_graph *g, sqz_vid y, sqz_vid r,
                           const bool *clamped, sqz_layer_error *e)
{
    *e = (sqz_layer_error){.value = y,
                           .reference = r,
                           .node = maker(g, y, clamped),
                           .lo = INFINITY,
                           .hi = -INFINITY,
                           .r_lo = INFINITY,
                           .r_hi = -INFINITY};
    e->histogram = sqz_arena_room(a, 1, sizeof *e->histogram);
    if (!e->histogram)
        return SQZ_E_NOMEM;
    sqz_hist_begin(e->histogram);
    return SQZ_OK;
}

static bool listed(const sqz_layer_error *list, uint32_t n, sqz_vid reference)
{
    for (uint32_t i = n; i-- > 0;)
        if (list[i].reference == reference)
            return true;
    return false;
}

/* The value of the reference that v is: of the same name, or output k of the node of the same name
 * (files made small have names of nodes only). SQZ_NONE: none. */
static sqz_vid same_value(const sqz_graph *reference, const sqz_node *n, unsigned k,
                          const char *name)
{
    sqz_vid r = sqz_graph_find(reference, name);
    if (r != SQZ_NONE && sqz_val(reference, r)->producer != SQZ_NONE)
        return r;
    SQZ_EACH_NODE(reference, id)
    {
        const sqz_node *m = sqz_nod(reference, id);
        if (m->op == n->op && m->n_out > k && strcmp(m->name, n->name) == 0)
            return m->out[k];
    }
    return SQZ_NONE;
}

sqz_status sqz_layers_pair(sqz_arena *a, const sqz_graph *g, const sqz_graph *reference,
                           sqz_layer_error **list, uint32_t *n)
{
    *n = 0;
    *list = sqz_arena_alloc(a, g->n_value + 1u, sizeof **list);
    bool *clamped;
    if (!*list)
        return SQZ_E_NOMEM;
    SQZ_TRY(mark_clamped(a, g, &clamped));
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *node = sqz_nod(g, id);
        for (unsigned k = 0; k < node->n_out; k++) {
            if (node->out[k] == SQZ_NONE || node->layout || clamped[node->out[k]])
                continue;
            const sqz_value *y = sqz_val(g, node->out[k]);
            sqz_vid r = same_value(reference, node, k, y->name);
            const sqz_value *x = r == SQZ_NONE ? NULL : sqz_val(reference, r);
            if (!x || x->constant || x->producer == SQZ_NONE || x->dtype != SQZ_F32 ||
                x->channel_last != y->channel_last || !sqz_shape_eq(&x->shape, &y->shape) ||
                (y->dtype != SQZ_F32 && (!y->quant || y->quant->n != 1)))
                continue;
            SQZ_TRY(add_pair(a, g, node->out[k], r, clamped, &(*list)[*n]));
            bool again = *n && (*list)[*n].node != id && listed(*list, *n, r);
            *n += !again; /* a copy in another type of what is there already */
        }
    }
    return SQZ_OK;
}

static void add_one(sqz_layer_error *e, const sqz_value *v, const sqz_tensor *y,
                    const sqz_tensor *r, size_t count)
{
    const float *ref = SQZ_F32P(r);
    for (size_t i = 0; i < count; i++) {
        double want = (double)ref[i], got;
        if (v->quant) {
            int64_t q = sqz_tensor_i64(y, i);
            got = (double)v->quant->scale[0] * (double)(q - v->quant->zero[0]);
            /* the lowest code of a grid that begins at 0 is an exact 0, not a cut value */
            e->saturated += v->dtype == SQZ_S8 &&
                            (q == 127 || (q == -128 && v->quant->zero[0] > -128));
        } else {
            got = (double)SQZ_F32P(y)[i];
        }
        e->signal += want * want;
        e->noise += (want - got) * (want - got);
        e->dot += want * got;
        e->square += got * got;
        e->lo = SQZ_MIN(e->lo, (float)got);
        e->hi = SQZ_MAX(e->hi, (float)got);
        e->r_lo = SQZ_MIN(e->r_lo, ref[i]);
        e->r_hi = SQZ_MAX(e->r_hi, ref[i]);
    }
    e->count += count;
    sqz_hist_see(e->histogram, ref, count);
}

void sqz_layers_add(const sqz_graph *g, const sqz_runner_batch *b, sqz_layer_error *list,
                    uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const sqz_tensor *y = sqz_exec_value(b->exec, list[i].value);
        const sqz_tensor *r = sqz_exec_value(b->reference_exec, list[i].reference);
        if (y && r)
            add_one(&list[i], sqz_val(g, list[i].value), y, r, y->count);
    }
}
