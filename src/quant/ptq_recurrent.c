/* ptq_recurrent.c: recurrent operators compute in float32, but their weights are most of such a
 * model: they become int8 with one scale for each row of a gate, and are dequantized where they are
 * read. W (directions, gates*H, I), R (directions, gates*H, H). */
#include "ir/qround.h"
#include "quant/ptq.h"
#include <math.h>
#include <string.h>

#define ROWS 1 /* axis that owns one scale each */

static bool is_recurrent(const sqz_node *n)
{
    const char *op = n->op->info.name;
    return strcmp(op, "lstm") == 0 || strcmp(op, "gru") == 0 || strcmp(op, "rnn") == 0;
}

/* max|w| / 127 of each row, over all directions. */
static void scales(const sqz_tensor *t, float *scale)
{
    const size_t rows = (size_t)t->shape.dim[ROWS], cols = (size_t)t->shape.dim[2];
    memset(scale, 0, rows * sizeof *scale);
    for (size_t i = 0; i < t->count; i++)
        scale[i / cols % rows] = fmaxf(scale[i / cols % rows], fabsf(SQZ_F32P(t)[i]));
    for (size_t r = 0; r < rows; r++)
        scale[r] = fmaxf(scale[r] / 127.0f, 0x1p-24f);
}

static sqz_status quantize(sqz_ptq *p, sqz_nid id, unsigned slot)
{
    sqz_graph *g = p->g;
    const sqz_vid old = sqz_nod(g, id)->in[slot];
    const sqz_value *w = sqz_val(g, old);
    sqz_range unused;
    size_t masked;
    SQZ_TRY(sqz_ptq_constant_range(p, old, &unused, &masked));
    const sqz_tensor *t = w->constant;
    const size_t rows = (size_t)t->shape.dim[ROWS], cols = (size_t)t->shape.dim[2];
    float *scale = sqz_arena_alloc(p->a, rows, sizeof *scale);
    int32_t *zero = sqz_arena_alloc(p->a, rows, sizeof *zero);
    sqz_tensor q;
    sqz_vid v;
    if (!scale || !zero)
        return SQZ_E_NOMEM;
    scales(t, scale);
    SQZ_TRY(sqz_tensor_alloc(g->ctx, SQZ_S8, &t->shape, &q));
    for (size_t i = 0; i < q.count; i++)
        SQZ_S8P(&q)[i] = (int8_t)sqz_qround(SQZ_F32P(t)[i], scale[i / cols % rows], 0, -127, 127);
    SQZ_TRY(sqz_graph_constant(g, w->name, &q, &v));
    SQZ_TRY(sqz_value_set_quant(g, v, SQZ_S8, ROWS, (uint32_t)rows, scale, zero));
    return sqz_graph_node_text(g, "dequantize", NULL, "", &v, 1, id, &sqz_nod(g, id)->in[slot]);
}

static bool is_weight(const sqz_graph *g, sqz_vid v)
{
    const sqz_value *w = v == SQZ_NONE ? NULL : sqz_val(g, v);
    return w && w->constant && w->dtype == SQZ_F32 && w->shape.rank == 3 && w->constant->count > 0;
}

static sqz_status drop_unused(sqz_ptq *p)
{
    sqz_uses u;
    SQZ_TRY(sqz_uses_build(p->g, p->a, &u));
    for (sqz_vid v = 0; v < p->n_value; v++)
        if (is_weight(p->g, v) && sqz_n_uses(&p->uses, v) && !sqz_n_uses(&u, v))
            sqz_graph_remove_value(p->g, v);
    return SQZ_OK;
}

sqz_status sqz_ptq_recurrent(sqz_ptq *p)
{
    SQZ_EACH_NODE(p->g, id)
    {
        const sqz_node *n = sqz_nod(p->g, id);
        bool excluded = false, any = false;
        if (!is_recurrent(n))
            continue;
        SQZ_TRY(sqz_node_selected(p->g, id, p->o->exclude, &excluded));
        for (unsigned slot = 1; slot <= 2 && slot < n->n_in && !excluded; slot++) {
            if (!is_weight(p->g, n->in[slot]))
                continue;
            SQZ_TRY(quantize(p, id, slot));
            any = true;
        }
        if (any)
            sqz_ptq_fact(p, "node '%s' (%s): its weights are int8, it computes in float32", n->name,
                         n->op->info.name);
    }
    return drop_unused(p);
}
