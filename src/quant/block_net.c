/* block_net.c: a block of the float graph with a fake quantization on every edge where the
 * quantized graph has a grid, and with the numbers of its constants. */
#include "quant/blocks.h"
#include <stdio.h>
#include <string.h>

typedef struct builder {
    sqz_ctx *ctx;
    const sqz_graph *q;
    const sqz_flow *f;
    const sqz_block_options *o;
    sqz_block_net *net;
    sqz_uses uses; /* of the quantized graph */
    sqz_vid *made; /* of each grid of the net: the value behind it, and the one before */
    sqz_vid *before;
} builder;

/* ---- the quantized graph ---- */

static bool is_op(const sqz_graph *g, sqz_nid n, const char *name)
{
    return n != SQZ_NONE && strcmp(sqz_nod(g, n)->op->info.name, name) == 0;
}

/* The value whose grid the numbers of v stand on: v, or what is dequantized to it; SQZ_NONE. */
static sqz_vid owner_of(const sqz_graph *q, sqz_vid v)
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

/* Only float operators read the grid: no multiplier is made of its scale. And its codes are not
 * computed yet: those at the cut stay as they are. */
static bool is_free(const builder *b, sqz_vid owner)
{
    const sqz_value *v = sqz_val(b->q, owner);
    if (!is_op(b->q, v->producer, "quantize") || sqz_flow_value(b->f, SQZ_QUANT_SIDE, owner))
        return false;
    for (uint32_t u = b->uses.first[owner]; u < b->uses.first[owner + 1]; u++)
        if (!is_op(b->q, b->uses.node[u], "dequantize"))
            return false;
    return true;
}

/* ---- constants ---- */

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

/* Constants of the net get the numbers that the quantized graph computes with; weights of sites are
 * left to who tunes them. */
static sqz_status constants(const builder *b, const sqz_site *site, uint32_t n_site)
{
    sqz_graph *g = b->net->g;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id), *qn = sqz_nod(b->q, id);
        for (unsigned k = 0; k < n->n_in && !qn->dead && k < qn->n_in; k++) {
            const sqz_vid v = n->in[k], qv = qn->in[k];
            bool tuned = false;
            for (uint32_t s = 0; s < n_site; s++)
                tuned = tuned || (site[s].w == v && !site[s].shared);
            if (v == SQZ_NONE || qv == SQZ_NONE || tuned || !sqz_val(g, v)->constant)
                continue;
            const sqz_vid owner = owner_of(b->q, qv);
            const sqz_value *x = owner == SQZ_NONE ? NULL : sqz_val(b->q, owner);
            if (!x || !x->constant || x->quant->group ||
                !sqz_shape_eq(&x->shape, &sqz_val(g, v)->shape))
                continue;
            sqz_tensor t;
            SQZ_TRY(real_numbers(b->ctx, x, &t));
            SQZ_TRY(sqz_value_set_constant(g, v, &t));
        }
    }
    return SQZ_OK;
}

/* A bias that only the quantized graph has. */
static sqz_status more_bias(const builder *b, const sqz_site *s)
{
    sqz_graph *g = b->net->g;
    sqz_node *n = sqz_nod(g, s->node);
    const sqz_shape shape = {1, {(int64_t)s->rows}};
    sqz_tensor t;
    sqz_vid v;
    if (s->b != SQZ_NONE || s->qb == SQZ_NONE || !s->bias_slot)
        return SQZ_OK;
    double *bias = sqz_arena_alloc(&b->net->arena, s->rows, sizeof *bias);
    sqz_vid *in = sqz_arena_alloc(&g->arena, s->bias_slot + 1u, sizeof *in);
    if (!bias || !in)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_site_bias(b->q, s, bias));
    SQZ_TRY(sqz_tensor_room(b->ctx, SQZ_F32, &shape, &t));
    for (size_t i = 0; i < s->rows; i++)
        SQZ_F32P(&t)[i] = (float)bias[i];
    SQZ_TRY(sqz_graph_constant(g, NULL, &t, &v));
    for (unsigned k = 0; k < s->bias_slot; k++)
        in[k] = k < n->n_in ? n->in[k] : SQZ_NONE;
    in[s->bias_slot] = v;
    n->in = in;
    n->n_in = (uint16_t)(s->bias_slot + 1);
    return SQZ_OK;
}

/* ---- grids on edges ---- */

static sqz_status number(sqz_graph *g, float x, sqz_vid *out)
{
    const sqz_shape one = {1, {1}};
    sqz_tensor t;
    SQZ_TRY(sqz_tensor_alloc(g->ctx, SQZ_F32, &one, &t));
    SQZ_F32P(&t)[0] = x;
    return sqz_graph_constant(g, NULL, &t, out);
}

static sqz_status put_grid(builder *b, sqz_vid v, sqz_vid owner, sqz_nid before, sqz_vid *out)
{
    sqz_block_net *net = b->net;
    sqz_graph *g = net->g;
    const sqz_quant *q = sqz_val(b->q, owner)->quant;
    sqz_block_grid *grid = &net->grid[net->n_grid];
    const int bits = (int)sqz_quant_bits(q);
    const bool is_unsigned = q->dtype == SQZ_U8 || q->dtype == SQZ_U16;
    const int64_t levels = (int64_t)1 << bits;
    char attrs[64];
    sqz_vid in[4] = {v, SQZ_NONE, SQZ_NONE, SQZ_NONE};
    (void)snprintf(attrs, sizeof attrs, "lo=%lld hi=%lld",
                   is_unsigned ? 0LL : (long long)(-levels / 2),
                   (long long)(is_unsigned ? levels - 1 : levels / 2 - 1));
    *grid = (sqz_block_grid){.owner = owner,
                             .keep = SQZ_NONE,
                             .input = SQZ_NONE,
                             .start = q->scale[0],
                             .bits = bits,
                             .free = is_free(b, owner)};
    for (uint32_t i = 0; i < net->n_input; i++)
        if (net->input[i] == v)
            grid->input = v;
    SQZ_TRY(number(g, q->scale[0], &in[1]));
    SQZ_TRY(number(g, (float)q->zero[0], &in[2]));
    grid->scale = in[1];
    if (b->o->keep) {
        SQZ_TRY(sqz_graph_input(g, NULL, SQZ_F32, &sqz_val(g, v)->shape, &in[3]));
        sqz_val(g, in[3])->channel_last = sqz_val(g, v)->channel_last;
        grid->keep = in[3];
    }
    SQZ_TRY(
        sqz_graph_node_text(g, "fake_quantize", NULL, attrs, in, b->o->keep ? 4 : 3, before, out));
    sqz_val(g, *out)->channel_last = sqz_val(g, v)->channel_last;
    b->made[net->n_grid] = *out;
    b->before[net->n_grid] = v;
    net->n_grid++;
    return SQZ_OK;
}

static sqz_status edge(builder *b, sqz_nid id, unsigned k)
{
    sqz_node *n = sqz_nod(b->net->g, id);
    const sqz_node *qn = sqz_nod(b->q, id);
    const sqz_vid v = n->in[k];
    if (qn->dead || k >= qn->n_in || qn->in[k] == SQZ_NONE || is_absorbed(b->q, qn) ||
        sqz_val(b->net->g, v)->dtype != SQZ_F32)
        return SQZ_OK;
    const sqz_vid owner = owner_of(b->q, qn->in[k]);
    if (owner == SQZ_NONE || sqz_val(b->q, owner)->constant || sqz_val(b->q, owner)->quant->n != 1)
        return SQZ_OK;
    sqz_vid y = SQZ_NONE;
    for (uint32_t i = 0; i < b->net->n_grid; i++)
        if (b->before[i] == v &&
            same_grid(sqz_val(b->q, b->net->grid[i].owner)->quant, sqz_val(b->q, owner)->quant))
            y = b->made[i];
    if (y == SQZ_NONE)
        SQZ_TRY(put_grid(b, v, owner, id, &y));
    sqz_nod(b->net->g, id)->in[k] = y;
    return SQZ_OK;
}

static sqz_status grids(builder *b)
{
    sqz_graph *g = b->net->g;
    const uint32_t n_node = g->n_node;
    uint32_t edges = 0;
    SQZ_EACH_NODE(g, id) edges += sqz_nod(g, id)->n_in;
    b->made = sqz_arena_alloc(&b->net->arena, edges + 1u, sizeof *b->made);
    b->before = sqz_arena_alloc(&b->net->arena, edges + 1u, sizeof *b->before);
    b->net->grid = sqz_arena_alloc(&b->net->arena, edges + 1u, sizeof *b->net->grid);
    if (!b->made || !b->before || !b->net->grid)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(g, id)
    {
        for (unsigned k = 0; id < n_node && k < sqz_nod(g, id)->n_in; k++) {
            const sqz_vid v = sqz_nod(g, id)->in[k];
            if (v != SQZ_NONE && !sqz_val(g, v)->constant)
                SQZ_TRY(edge(b, id, k));
        }
    }
    return SQZ_OK;
}

/* ---- inputs ---- */

/* The value of the quantized graph at the cut that v is there: what its first reader reads,
 * followed back through changes of the type. */
static sqz_status source(const builder *b, sqz_vid v, sqz_vid *out)
{
    const sqz_graph *g = b->net->g;
    sqz_vid at = v;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        for (unsigned k = 0; at == v && id < b->q->n_node && k < n->n_in; k++)
            if (n->in[k] == v && !sqz_nod(b->q, id)->dead && k < sqz_nod(b->q, id)->n_in)
                at = sqz_nod(b->q, id)->in[k];
    }
    while (!sqz_flow_value(b->f, SQZ_QUANT_SIDE, at)) {
        const sqz_nid p = sqz_val(b->q, at)->producer;
        if (!is_op(b->q, p, "quantize") && !is_op(b->q, p, "dequantize") &&
            !is_op(b->q, p, "requantize"))
            break;
        at = sqz_nod(b->q, p)->in[0];
    }
    if (!sqz_flow_value(b->f, SQZ_QUANT_SIDE, at))
        at = v;
    *out = at;
    if (sqz_flow_value(b->f, SQZ_QUANT_SIDE, at) &&
        sqz_flow_count(b->f, SQZ_QUANT_SIDE, at) == sqz_flow_count(b->f, SQZ_FLOAT_SIDE, v))
        return SQZ_OK;
    return sqz_fail(b->ctx, SQZ_E_INTERNAL, "value '%s' is not known in the quantized network here",
                    sqz_val(g, v)->name);
}

static sqz_status inputs(builder *b)
{
    sqz_block_net *net = b->net;
    sqz_vid *list = sqz_arena_alloc(&net->arena, net->g->n_input + 1u, sizeof *list);
    net->from = sqz_arena_alloc(&net->arena, net->g->n_input + 1u, sizeof *net->from);
    if (!list || !net->from)
        return SQZ_E_NOMEM;
    net->n_input = net->g->n_input;
    memcpy(list, net->g->input, net->n_input * sizeof *list);
    net->input = list;
    for (uint32_t i = 0; i < net->n_input; i++)
        SQZ_TRY(source(b, list[i], &net->from[i]));
    net->output = net->g->output;
    net->n_output = net->g->n_output;
    return SQZ_OK;
}

/* ---- all of it ---- */

static sqz_status make_tape(builder *b, const sqz_block *block, const sqz_site *site)
{
    sqz_block_net *net = b->net;
    sqz_vid *want = sqz_arena_alloc(&net->arena, block->n_site + net->n_grid + 1u, sizeof *want);
    uint32_t n = 0;
    if (!want)
        return SQZ_E_NOMEM;
    for (uint32_t s = 0; s < block->n_site; s++)
        if (!site[block->site + s].shared)
            want[n++] = site[block->site + s].w;
    for (uint32_t i = 0; i < net->n_grid; i++)
        if (b->o->learn && net->grid[i].free)
            want[n++] = net->grid[i].scale;
    return sqz_tape_create(
        net->g,
        &(sqz_tape_options){
            .want = want, .n_want = n, .seed = net->output, .n_seed = net->n_output},
        &net->tape);
}

static sqz_status build(builder *b, const sqz_graph *batch, const sqz_block *block,
                        const sqz_site *site, sqz_arena *a)
{
    SQZ_TRY(sqz_uses_build(b->q, a, &b->uses));
    SQZ_TRY(sqz_graph_piece(batch, block->begin, block->end, NULL, 0, &b->net->g));
    SQZ_TRY(inputs(b));
    SQZ_TRY(constants(b, site + block->site, block->n_site));
    for (uint32_t s = 0; s < block->n_site; s++)
        SQZ_TRY(more_bias(b, &site[block->site + s]));
    if (b->o->activations)
        SQZ_TRY(grids(b));
    return make_tape(b, block, site);
}

sqz_status sqz_block_net_make(const sqz_graph *batch, const sqz_graph *quantized, const sqz_flow *f,
                              const sqz_block *block, const sqz_site *site,
                              const sqz_block_options *o, sqz_block_net *out)
{
    sqz_arena a = {.ctx = batch->ctx};
    *out = (sqz_block_net){.arena = {.ctx = batch->ctx}};
    builder b = {.ctx = batch->ctx, .q = quantized, .f = f, .o = o, .net = out};
    const sqz_status s = build(&b, batch, block, site, &a);
    sqz_arena_free(&a);
    if (s != SQZ_OK)
        sqz_block_net_free(out);
    return s;
}

void sqz_block_net_free(sqz_block_net *n)
{
    sqz_tape_free(n->tape);
    sqz_graph_free(n->g);
    sqz_arena_free(&n->arena);
    *n = (sqz_block_net){0};
}
