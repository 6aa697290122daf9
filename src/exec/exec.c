/* exec.c: runs a planned graph, float or integer node by node. Everything is allocated when it is
 * made. */
#include "exec/codes.h"
#include "exec/step.h"
#include <string.h>

struct sqz_exec {
    sqz_ctx *ctx;
    sqz_graph *g; /* private clone at this batch */
    sqz_exec_options opt;
    sqz_arena arena; /* steps, tensors, prepared state */
    sqz_step *step;
    uint32_t n_step;
    sqz_chain **chain; /* of each node; NULL: nothing is fused */
    sqz_nid *into;
    sqz_tensor *tensor;    /* of each value */
    unsigned char *memory; /* activations */
    size_t memory_bytes, scratch_bytes;
    void *scratch;
};

/* Offsets for keep_all: every activation has memory of its own. */
static sqz_status lay_out_all(sqz_exec *e, size_t *offset)
{
    for (sqz_vid v = 0; v < e->g->n_value; v++) {
        offset[v] = SIZE_MAX;
        const sqz_value *val = sqz_val(e->g, v);
        if (val->constant || val->producer == SQZ_NONE)
            continue;
        size_t padded;
        if (!sqz_add(e->tensor[v].bytes, SQZ_ALIGN, &padded) ||
            !sqz_add(e->memory_bytes, padded - padded % SQZ_ALIGN, &padded))
            return sqz_fail(e->ctx, SQZ_E_LIMIT, "activations are too large");
        offset[v] = e->memory_bytes;
        e->memory_bytes = padded;
    }
    return SQZ_OK;
}

static sqz_status lay_out(sqz_exec *e, size_t *offset)
{
    if (e->opt.keep_all)
        return lay_out_all(e, offset);
    const sqz_plan_options po = {.alignment = SQZ_ALIGN, .in_place = true};
    sqz_plan *p;
    SQZ_TRY(sqz_plan_build(e->g, &po, &p));
    for (sqz_vid v = 0; v < e->g->n_value; v++)
        offset[v] = p->item_of_value[v] == SQZ_NONE ? SIZE_MAX
                                                    : p->item[p->item_of_value[v]].offset;
    e->memory_bytes = p->bytes;
    sqz_plan_free(e->ctx, p);
    return SQZ_OK;
}

static sqz_status make_tensors(sqz_exec *e)
{
    sqz_graph *g = e->g;
    size_t *offset = sqz_arena_alloc(&e->arena, g->n_value + 1u, sizeof *offset);
    e->tensor = sqz_arena_alloc(&e->arena, g->n_value + 1u, sizeof *e->tensor);
    if (!offset || !e->tensor)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < g->n_value; v++) {
        const sqz_value *val = sqz_val(g, v);
        SQZ_TRY(sqz_tensor_view(e->ctx, val->dtype, &val->shape, NULL, &e->tensor[v]));
        if (val->constant)
            e->tensor[v] = *val->constant;
    }
    SQZ_TRY(lay_out(e, offset));
    e->memory = sqz_malloc_aligned(e->ctx, e->memory_bytes);
    if (!e->memory)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < g->n_value; v++)
        if (offset[v] != SIZE_MAX)
            e->tensor[v].data = e->memory + offset[v];
    return SQZ_OK;
}

static sqz_status make_steps(sqz_exec *e)
{
    SQZ_EACH_NODE(e->g, count) { e->n_step++; }
    e->step = sqz_arena_alloc(&e->arena, e->n_step + 1u, sizeof *e->step);
    if (!e->step)
        return SQZ_E_NOMEM;
    sqz_spent spent;
    SQZ_TRY(sqz_spent_begin(e->g, &e->arena, &spent));
    sqz_step_env env = {.ctx = e->ctx,
                        .g = e->g,
                        .arena = &e->arena,
                        .tensor = e->tensor,
                        .spent = e->opt.keep_all ? NULL : &spent};
    uint32_t i = 0;
    SQZ_EACH_NODE(e->g, id)
    {
        e->step[i].node = sqz_nod(e->g, id);
        e->step[i].id = id;
        e->step[i].chain = e->chain ? e->chain[id] : NULL;
        SQZ_TRY(sqz_step_prepare(&env, &e->step[i++]));
    }
    e->scratch_bytes = env.scratch_bytes;
    /* operators add offsets to it, also 0 to nothing: so it is never NULL */
    e->scratch = sqz_malloc_aligned(e->ctx, SQZ_MAX(e->scratch_bytes, (size_t)1));
    if (!e->scratch)
        return SQZ_E_NOMEM;
    for (i = 0; i < e->n_step; i++)
        e->step[i].call.scratch = e->scratch;
    return SQZ_OK;
}

/* Channel-last operators read (N,...,C): in the file's layout they would read past the end. */
static sqz_status check_layout(const sqz_graph *g)
{
    SQZ_EACH_NODE(g, n)
    {
        const sqz_node *nd = sqz_nod(g, n);
        const sqz_value *x = nd->n_in && nd->in[0] != SQZ_NONE ? sqz_val(g, nd->in[0]) : NULL;
        if (nd->op->layout == SQZ_L_CHANNELS && x && x->shape.rank >= 3 && !x->channel_last)
            return sqz_fail(g->ctx, SQZ_E_INTERNAL,
                            "node '%s' (%s): the pass 'layout' has not run on this graph", nd->name,
                            nd->op->info.name);
    }
    return SQZ_OK;
}

/* Weights of float operators are unfolded once: what is computed from integer constants alone. */
static sqz_status unfold_weights(sqz_graph *g)
{
    bool *unfolded = sqz_calloc(g->ctx, g->n_value + 1u, sizeof *unfolded);
    sqz_status s = SQZ_OK;
    if (!unfolded)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        bool is_weight = strcmp(n->op->info.name, "dequantize") == 0 || sqz_node_is_palette(g, n);
        bool known = n->n_in > 0;
        for (unsigned k = 0; k < n->n_in; k++) {
            known = known && (n->in[k] == SQZ_NONE || sqz_val(g, n->in[k])->constant);
            is_weight = is_weight || (n->in[k] != SQZ_NONE && unfolded[n->in[k]]);
        }
        if (s != SQZ_OK || !is_weight || !known)
            continue;
        for (unsigned k = 0; k < n->n_out; k++)
            unfolded[n->out[k]] = true;
        s = sqz_fold_node(g, id);
    }
    sqz_free(g->ctx, unfolded);
    return s;
}

static sqz_status create(sqz_exec *e, int64_t batch)
{
    SQZ_TRY(check_layout(e->g));
    if (batch && e->g->n_input && batch != sqz_val(e->g, e->g->input[0])->shape.dim[0])
        SQZ_TRY(sqz_graph_set_batch(e->g, batch));
    SQZ_TRY(sqz_keep_codes(e->g));
    SQZ_TRY(unfold_weights(e->g));
    if (!e->opt.hook && !e->opt.keep_all && !e->opt.no_fuse)
        SQZ_TRY(sqz_fuse(e->g, &e->arena, &e->chain, &e->into));
    SQZ_TRY(make_tensors(e));
    return make_steps(e);
}

sqz_status sqz_exec_adopt(sqz_graph *g, int64_t batch, const sqz_exec_options *opt, sqz_exec **out)
{
    *out = NULL;
    sqz_exec *e = sqz_calloc(g->ctx, 1, sizeof *e);
    if (!e) {
        sqz_graph_free(g);
        return SQZ_E_NOMEM;
    }
    e->g = g;
    e->ctx = g->ctx;
    e->arena.ctx = g->ctx;
    if (opt)
        e->opt = *opt;
    sqz_status s = create(e, batch);
    if (s != SQZ_OK) {
        sqz_exec_free(e);
        return s;
    }
    *out = e;
    return SQZ_OK;
}

sqz_status sqz_exec_create(const sqz_graph *g, int64_t batch, const sqz_exec_options *opt,
                           sqz_exec **out)
{
    sqz_graph *own;
    *out = NULL;
    SQZ_TRY(sqz_graph_clone(g, &own));
    return sqz_exec_adopt(own, batch, opt, out);
}

void sqz_exec_free(sqz_exec *e)
{
    if (!e)
        return;
    sqz_free_aligned(e->ctx, e->scratch);
    sqz_free_aligned(e->ctx, e->memory);
    sqz_arena_free(&e->arena);
    sqz_graph_free(e->g);
    sqz_free(e->ctx, e);
}

/* Inputs and outputs are the caller's memory. A constant has its own; a value that is an output
 * twice, or an input handed straight through, is copied at the end. */
static void bind_io(sqz_exec *e, const void *const *in, void *const *out)
{
    for (uint32_t i = 0; i < e->g->n_output; i++)
        if (sqz_val(e->g, e->g->output[i])->producer != SQZ_NONE && !e->opt.keep_all)
            e->tensor[e->g->output[i]].data = out[i];
    for (uint32_t i = 0; i < e->g->n_input; i++)
        e->tensor[e->g->input[i]].data = (void *)(uintptr_t)in[i];
}

static sqz_status report(sqz_exec *e, const sqz_step *s)
{
    for (unsigned k = 0; k < s->node->n_out; k++)
        if (s->node->out[k] != SQZ_NONE)
            SQZ_TRY(
                e->opt.hook(e->opt.hook_user, s->id, s->node->out[k], &e->tensor[s->node->out[k]]));
    return SQZ_OK;
}

sqz_status sqz_exec_run(sqz_exec *e, const void *const *in, void *const *out)
{
    bind_io(e, in, out);
    for (uint32_t i = 0; e->opt.hook && i < e->g->n_input; i++)
        SQZ_TRY(
            e->opt.hook(e->opt.hook_user, SQZ_NONE, e->g->input[i], &e->tensor[e->g->input[i]]));
    for (uint32_t i = 0; i < e->n_step; i++) {
        sqz_step *s = &e->step[i];
        double start = e->opt.time_nodes ? sqz_now() : 0.0;
        if (s->run)
            SQZ_TRY(sqz_note(e->ctx, s->run(&s->call), "node '%s' (%s)", s->node->name,
                             s->node->op->info.name));
        if (e->opt.time_nodes)
            s->seconds += sqz_now() - start;
        if (e->opt.hook)
            SQZ_TRY(report(e, s));
    }
    for (uint32_t i = 0; i < e->g->n_output; i++) {
        const sqz_tensor *t = &e->tensor[e->g->output[i]];
        if (t->data != out[i])
            memcpy(out[i], t->data, t->bytes);
    }
    return SQZ_OK;
}

const sqz_tensor *sqz_exec_value(const sqz_exec *e, sqz_vid v)
{
    return e->opt.keep_all && v < e->g->n_value && e->tensor[v].data ? &e->tensor[v] : NULL;
}

double sqz_exec_seconds(const sqz_exec *e, sqz_nid n)
{
    for (uint32_t i = 0; i < e->n_step; i++)
        if (e->step[i].id == n)
            return e->step[i].seconds;
    return 0.0;
}

void sqz_exec_add_seconds(const sqz_exec *e, double *of_node)
{
    for (uint32_t i = 0; i < e->n_step; i++)
        of_node[e->step[i].id] += e->step[i].seconds;
}

sqz_nid sqz_exec_leader(const sqz_exec *e, sqz_nid n) { return e->into ? e->into[n] : n; }

size_t sqz_exec_bytes(const sqz_exec *e) { return e->memory_bytes + e->scratch_bytes; }

sqz_status sqz_graph_max_batch(const sqz_graph *g, int64_t wanted, int64_t *out)
{
    *out = g->n_input && sqz_val(g, g->input[0])->shape.rank ? sqz_val(g, g->input[0])->shape.dim[0]
                                                             : 1;
    if (wanted <= *out)
        return SQZ_OK;
    sqz_graph *c;
    SQZ_TRY(sqz_graph_clone(g, &c));
    bool scales = *out == 1 && sqz_graph_set_batch(c, wanted) == SQZ_OK;
    for (uint32_t i = 0; scales && i < g->n_output; i++) {
        sqz_shape s = sqz_val(g, g->output[i])->shape;
        if (s.rank > 0)
            s.dim[0] *= wanted;
        scales = s.rank > 0 && sqz_shape_eq(&s, &sqz_val(c, g->output[i])->shape);
    }
    sqz_graph_free(c);
    if (scales)
        *out = wanted;
    return SQZ_OK;
}
