/* fake.c: see fake.h. */
#include "quant/fake.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_op(const sqz_graph *g, sqz_nid n, const char *name)
{
    return n != SQZ_NONE && strcmp(sqz_nod(g, n)->op->info.name, name) == 0;
}

sqz_vid sqz_grid_owner(const sqz_graph *q, sqz_vid v)
{
    const sqz_value *x = sqz_val(q, v);
    if (x->quant)
        return v;
    if (!is_op(q, x->producer, "dequantize"))
        return SQZ_NONE;
    const sqz_vid from = sqz_nod(q, x->producer)->in[0];
    return sqz_val(q, from)->quant ? from : SQZ_NONE;
}

static bool same_grid(const sqz_quant *a, const sqz_quant *b)
{
    return a && b && a->n == 1 && b->n == 1 && a->scale[0] == b->scale[0] &&
           a->zero[0] == b->zero[0];
}

/* A clamp that the grid of its result makes already: its input stands on that grid too. */
static bool is_absorbed(const sqz_graph *q, const sqz_node *n)
{
    return (n->op->traits & SQZ_T_RELU_LIKE) && n->out[0] != SQZ_NONE &&
           same_grid(sqz_val(q, n->in[0])->quant, sqz_val(q, n->out[0])->quant);
}

/* ---- constants ---- */

sqz_status sqz_fake_constant(sqz_graph *g, const float *x, size_t n, sqz_vid *out)
{
    const sqz_shape shape = {1, {(int64_t)n}};
    sqz_tensor t;
    SQZ_TRY(sqz_tensor_room(g->ctx, SQZ_F32, &shape, &t));
    memcpy(t.data, x, n * sizeof *x);
    return sqz_graph_constant(g, NULL, &t, out);
}

static sqz_status real_numbers(sqz_ctx *ctx, const sqz_value *v, sqz_tensor *out)
{
    const sqz_quant *q = v->quant;
    size_t inner = 1;
    SQZ_TRY(sqz_tensor_room(ctx, SQZ_F32, &v->shape, out));
    for (int32_t d = q->axis + 1; q->axis >= 0 && d < v->shape.rank; d++)
        inner *= (size_t)v->shape.dim[d];
    for (size_t i = 0; i < out->count; i++) {
        const size_t k = q->n == 1 ? 0 : i / inner % q->n;
        SQZ_F32P(out)
        [i] = q->scale[k] * (float)(sqz_tensor_i64(v->constant, i) - (int64_t)q->zero[k]);
    }
    return SQZ_OK;
}

sqz_status sqz_fake_constants(sqz_graph *g, const sqz_graph *quantized, const sqz_site *site,
                              uint32_t n_site)
{
    SQZ_EACH_NODE(g, id)
    {
        if (id >= quantized->n_node)
            continue;
        const sqz_node *n = sqz_nod(g, id), *qn = sqz_nod(quantized, id);
        for (unsigned k = 0; k < n->n_in && !qn->dead && k < qn->n_in; k++) {
            const sqz_vid v = n->in[k], qv = qn->in[k];
            bool tuned = false;
            for (uint32_t s = 0; s < n_site; s++)
                tuned = tuned || (site[s].w == v && !site[s].shared);
            if (v == SQZ_NONE || qv == SQZ_NONE || tuned || !sqz_val(g, v)->constant)
                continue;
            const sqz_vid owner = sqz_grid_owner(quantized, qv);
            const sqz_value *x = owner == SQZ_NONE ? NULL : sqz_val(quantized, owner);
            if (!x || !x->constant || x->quant->group ||
                !sqz_shape_eq(&x->shape, &sqz_val(g, v)->shape))
                continue;
            sqz_tensor t;
            SQZ_TRY(real_numbers(g->ctx, x, &t));
            SQZ_TRY(sqz_value_set_constant(g, v, &t));
        }
    }
    return SQZ_OK;
}

sqz_status sqz_fake_bias(sqz_graph *g, const sqz_graph *quantized, const sqz_site *s, sqz_vid *b)
{
    sqz_node *n = sqz_nod(g, s->node);
    const sqz_shape shape = {1, {(int64_t)s->rows}};
    sqz_arena a = {.ctx = g->ctx};
    sqz_tensor t;
    *b = s->b;
    if (s->b != SQZ_NONE || s->qb == SQZ_NONE || !s->bias_slot)
        return SQZ_OK;
    double *bias = sqz_arena_alloc(&a, s->rows, sizeof *bias);
    sqz_vid *in = sqz_arena_alloc(&g->arena, s->bias_slot + 1u, sizeof *in);
    sqz_status st = bias && in ? sqz_site_bias(quantized, s, bias) : SQZ_E_NOMEM;
    if (st == SQZ_OK)
        st = sqz_tensor_room(g->ctx, SQZ_F32, &shape, &t);
    for (size_t i = 0; st == SQZ_OK && i < s->rows; i++)
        SQZ_F32P(&t)[i] = (float)bias[i];
    if (st == SQZ_OK)
        st = sqz_graph_constant(g, NULL, &t, b);
    sqz_arena_free(&a);
    SQZ_TRY(st);
    for (unsigned k = 0; k < s->bias_slot; k++)
        in[k] = k < n->n_in ? n->in[k] : SQZ_NONE;
    in[s->bias_slot] = *b;
    n->in = in;
    n->n_in = (uint16_t)(s->bias_slot + 1);
    return SQZ_OK;
}

/* ---- grids on edges ---- */

typedef struct builder {
    sqz_graph *g;
    const sqz_graph *q;
    const sqz_fake_options *o;
    sqz_fake *list;
    uint32_t n;
} builder;

/* Numbers of one sample. */
static double sample_size(const sqz_shape *s)
{
    double n = 1;
    for (int32_t d = 1; d < s->rank; d++)
        n *= (double)s->dim[d];
    return n;
}

static sqz_status put_grid(builder *b, sqz_vid v, sqz_vid owner, sqz_nid before, sqz_vid *out)
{
    sqz_graph *g = b->g;
    const sqz_quant *q = sqz_val(b->q, owner)->quant;
    const int bits = (int)sqz_quant_bits(q);
    const bool is_unsigned = q->dtype == SQZ_U8 || q->dtype == SQZ_U16;
    const int64_t levels = (int64_t)1 << bits;
    const int64_t lo = is_unsigned ? 0 : -levels / 2, hi = lo + levels - 1;
    const float zero = (float)q->zero[0];
    sqz_vid in[4] = {v, SQZ_NONE, SQZ_NONE, SQZ_NONE};
    char attrs[128];
    double factor = 1;
    if (b->o->factor > 0)
        factor = b->o->factor /
                 sqrt(sample_size(&sqz_val(g, v)->shape) * ((double)hi - q->zero[0] + 1));
    (void)snprintf(attrs, sizeof attrs, "lo=%lld hi=%lld factor=%.9g", (long long)lo, (long long)hi,
                   fmin(factor, 1));
    SQZ_TRY(sqz_fake_constant(g, q->scale, 1, &in[1]));
    SQZ_TRY(sqz_fake_constant(g, &zero, 1, &in[2]));
    if (b->o->keep) {
        SQZ_TRY(sqz_graph_input(g, NULL, SQZ_F32, &sqz_val(g, v)->shape, &in[3]));
        sqz_val(g, in[3])->channel_last = sqz_val(g, v)->channel_last;
    }
    SQZ_TRY(
        sqz_graph_node_text(g, "fake_quantize", NULL, attrs, in, b->o->keep ? 4 : 3, before, out));
    sqz_val(g, *out)->channel_last = sqz_val(g, v)->channel_last;
    b->list[b->n++] = (sqz_fake){.owner = owner,
                                 .in = v,
                                 .out = *out,
                                 .node = sqz_val(g, *out)->producer,
                                 .scale = in[1],
                                 .keep = in[3],
                                 .start = q->scale[0],
                                 .bits = bits};
    return SQZ_OK;
}

/* What stands for v where the quantized graph has qv: v, or v on a grid. */
static sqz_status on_grid(builder *b, sqz_vid v, sqz_vid qv, sqz_nid before, sqz_vid *out)
{
    const sqz_vid owner = sqz_grid_owner(b->q, qv);
    *out = v;
    if (owner == SQZ_NONE || sqz_val(b->q, owner)->constant ||
        sqz_val(b->q, owner)->quant->n != 1 || sqz_val(b->g, v)->dtype != SQZ_F32)
        return SQZ_OK;
    for (uint32_t i = 0; i < b->n; i++)
        if (b->list[i].in == v &&
            same_grid(sqz_val(b->q, b->list[i].owner)->quant, sqz_val(b->q, owner)->quant)) {
            *out = b->list[i].out;
            return SQZ_OK;
        }
    return put_grid(b, v, owner, before, out);
}

static sqz_status edge(builder *b, sqz_nid id, unsigned k)
{
    const sqz_node *qn = sqz_nod(b->q, id);
    const sqz_vid v = sqz_nod(b->g, id)->in[k];
    sqz_vid y;
    if (qn->dead || k >= qn->n_in || qn->in[k] == SQZ_NONE || is_absorbed(b->q, qn))
        return SQZ_OK;
    SQZ_TRY(on_grid(b, v, qn->in[k], id, &y));
    sqz_nod(b->g, id)->in[k] = y;
    return SQZ_OK;
}

static sqz_status edges(builder *b, uint32_t n_node)
{
    SQZ_EACH_NODE(b->g, id)
    {
        for (unsigned k = 0; id < n_node && k < sqz_nod(b->g, id)->n_in; k++) {
            const sqz_vid v = sqz_nod(b->g, id)->in[k];
            if (v != SQZ_NONE && !sqz_val(b->g, v)->constant)
                SQZ_TRY(edge(b, id, k));
        }
    }
    for (uint32_t k = 0; b->o->outputs && k < b->g->n_output && k < b->q->n_output; k++)
        SQZ_TRY(on_grid(b, b->g->output[k], b->q->output[k], SQZ_NONE, &b->g->output[k]));
    return SQZ_OK;
}

sqz_status sqz_fake_edges(sqz_graph *net, const sqz_graph *quantized, const sqz_fake_options *o,
                          sqz_arena *a, sqz_fake **list, uint32_t *n)
{
    builder b = {.g = net, .q = quantized, .o = o};
    const uint32_t n_node = SQZ_MIN(net->n_node, quantized->n_node);
    size_t most = net->n_output + 1u;
    SQZ_EACH_NODE(net, id) most += sqz_nod(net, id)->n_in;
    b.list = sqz_arena_alloc(a, most, sizeof *b.list);
    if (!b.list)
        return SQZ_E_NOMEM;
    SQZ_TRY(edges(&b, n_node));
    *list = b.list;
    *n = b.n;
    return SQZ_OK;
}
