/* block_net.c: a block of the float graph with a fake quantization on every edge where the
 * quantized graph has a grid, and with the numbers of its constants. */
#include "quant/blocks.h"
#include "quant/fake.h"
#include <string.h>

typedef struct builder {
    sqz_ctx *ctx;
    const sqz_graph *q;
    const sqz_flow *f;
    const sqz_block_options *o;
    sqz_block_net *net;
    sqz_uses uses; /* of the quantized graph */
} builder;

/* ---- the quantized graph ---- */

static bool is_op(const sqz_graph *g, sqz_nid n, const char *name)
{
    return n != SQZ_NONE && strcmp(sqz_nod(g, n)->op->info.name, name) == 0;
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

/* ---- grids on edges ---- */

static sqz_status grids(builder *b)
{
    sqz_block_net *net = b->net;
    const sqz_fake_options o = {.keep = b->o->keep};
    sqz_fake *list;
    SQZ_TRY(sqz_fake_edges(net->g, b->q, &o, &net->arena, &list, &net->n_grid));
    net->grid = sqz_arena_alloc(&net->arena, net->n_grid + 1u, sizeof *net->grid);
    if (!net->grid)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < net->n_grid; i++) {
        const sqz_fake *f = &list[i];
        net->grid[i] = (sqz_block_grid){.owner = f->owner,
                                        .scale = f->scale,
                                        .keep = f->keep,
                                        .input = SQZ_NONE,
                                        .start = f->start,
                                        .bits = f->bits,
                                        .free = is_free(b, f->owner)};
        for (uint32_t k = 0; k < net->n_input; k++)
            if (net->input[k] == f->in)
                net->grid[i].input = f->in;
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
    SQZ_TRY(sqz_fake_constants(b->net->g, b->q, site + block->site, block->n_site));
    for (uint32_t s = 0; s < block->n_site; s++) {
        sqz_vid bias;
        SQZ_TRY(sqz_fake_bias(b->net->g, b->q, &site[block->site + s], &bias));
    }
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
