/* layers.c: per-layer error against a reference. */
#include "eval/layers.h"
#include <math.h>

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
            sqz_vid r = sqz_graph_find(reference, y->name);
            const sqz_value *x = r == SQZ_NONE ? NULL : sqz_val(reference, r);
            if (!x || x->constant || x->producer == SQZ_NONE || x->dtype != SQZ_F32 ||
                x->channel_last != y->channel_last || !sqz_shape_eq(&x->shape, &y->shape) ||
                (y->dtype != SQZ_F32 && (!y->quant || y->quant->n != 1)))
                continue;
            (*list)[(*n)++] = (sqz_layer_error){
                .value = node->out[k], .reference = r, .lo = INFINITY, .hi = -INFINITY};
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
        e->own += got * got;
        e->lo = SQZ_MIN(e->lo, (float)got);
        e->hi = SQZ_MAX(e->hi, (float)got);
    }
    e->count += count;
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
