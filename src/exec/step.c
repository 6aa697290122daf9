/* step.c: which function of an operator runs, with what. */
#include "exec/step.h"
#include "exec/codes.h"
#include <string.h>

#define GRAIN 8192 /* elements of a piece: stays in the first-level cache */
typedef sqz_status (*run_fn)(const sqz_call *c);

static bool is_boundary(const sqz_op *op)
{
    return strcmp(op->info.name, "quantize") == 0 || strcmp(op->info.name, "dequantize") == 0;
}

static sqz_status copy_view(const sqz_call *c)
{
    memcpy(c->out[0]->data, c->in[0]->data, c->out[0]->bytes);
    return SQZ_OK;
}

static bool touches_integers(const sqz_graph *g, const sqz_node *n)
{
    for (unsigned k = 0; k < n->n_in; k++)
        if (n->in[k] != SQZ_NONE && sqz_val(g, n->in[k])->quant)
            return true;
    for (unsigned k = 0; k < n->n_out; k++)
        if (n->out[k] != SQZ_NONE && sqz_val(g, n->out[k])->quant)
            return true;
    return false;
}

/* The operator takes its inputs as plain numbers of their types, grids aside. */
static bool reads_codes(const sqz_graph *g, const sqz_node *n, sqz_arena *a)
{
    sqz_value *v = sqz_arena_alloc(a, n->n_in + 1u, sizeof *v);
    const sqz_value **in = sqz_arena_alloc(a, n->n_in + 1u, sizeof *in);
    sqz_shape *shape = sqz_arena_alloc(a, n->n_out + 1u, sizeof *shape);
    sqz_dtype *dtype = sqz_arena_alloc(a, n->n_out + 1u, sizeof *dtype);
    if (!v || !in || !shape || !dtype)
        return false;
    sqz_infer q = sqz_node_ask(g, n, in, shape, dtype);
    for (unsigned k = 0; k < n->n_in; k++)
        if (in[k]) {
            v[k] = *in[k];
            v[k].quant = NULL;
            in[k] = &v[k];
        }
    if (n->op->infer(&q) != SQZ_OK)
        return false;
    for (unsigned k = 0; k < n->n_out; k++)
        if (n->out[k] != SQZ_NONE && dtype[k] != sqz_val(g, n->out[k])->dtype)
            return false;
    return true;
}

/* What a call and its preparation point to. */
typedef struct operands {
    unsigned n_in, n_out;
    const sqz_tensor **in, **seen; /* seen by prepare: the numbers of constants only */
    sqz_tensor **out;
    const sqz_quant **in_q, **out_q;
} operands;

static sqz_status make_operands(const sqz_step_env *env, const sqz_node *n, unsigned n_in,
                                operands *o)
{
    sqz_arena *a = env->arena;
    *o = (operands){.n_in = n_in, .n_out = n->n_out};
    o->in = sqz_arena_alloc(a, n_in + 1u, sizeof *o->in);
    o->seen = sqz_arena_alloc(a, n_in + 1u, sizeof *o->seen);
    o->out = sqz_arena_alloc(a, n->n_out + 1u, sizeof *o->out);
    o->in_q = sqz_arena_alloc(a, n_in + 1u, sizeof *o->in_q);
    o->out_q = sqz_arena_alloc(a, n->n_out + 1u, sizeof *o->out_q);
    sqz_tensor *seen = sqz_arena_alloc(a, n_in + 1u, sizeof *seen);
    if (!o->in || !o->seen || !o->out || !o->in_q || !o->out_q || !seen)
        return SQZ_E_NOMEM;
    for (unsigned k = 0; k < n_in; k++)
        if (n->in[k] != SQZ_NONE) {
            o->in[k] = &env->tensor[n->in[k]];
            o->in_q[k] = sqz_val(env->g, n->in[k])->quant;
            seen[k] = *o->in[k];
            if (!sqz_val(env->g, n->in[k])->constant)
                seen[k].data = NULL;
            o->seen[k] = &seen[k];
        }
    for (unsigned k = 0; k < n->n_out; k++)
        if (n->out[k] != SQZ_NONE) {
            o->out[k] = &env->tensor[n->out[k]];
            o->out_q[k] = sqz_val(env->g, n->out[k])->quant;
        }
    return SQZ_OK;
}

/* The plan has put the parts of a joining or cutting node where they belong. */
static bool is_in_place(const sqz_step_env *env, const sqz_node *n, const operands *o)
{
    const bool joins = sqz_node_joins(env->g, n);
    if (!joins && !sqz_node_cuts(env->g, n))
        return false;
    const char *at = joins ? o->out[0]->data : o->in[0]->data;
    for (unsigned k = 0; at && k < (joins ? o->n_in : o->n_out); k++) {
        const sqz_tensor *t = joins ? o->in[k] : o->out[k];
        if (!t || t->data != at)
            return false;
        at += t->bytes;
    }
    return at != NULL;
}

/* The run of one node by itself. */
static sqz_status choose_run(const sqz_step_env *env, const sqz_node *n, const operands *o,
                             run_fn *run)
{
    const sqz_op *op = n->op;
    if (sqz_node_is_view(env->g, n)) {
        *run = o->out[0]->data && o->out[0]->data == o->in[0]->data ? NULL : copy_view;
        return SQZ_OK;
    }
    *run = NULL;
    if (is_in_place(env, n, o))
        return SQZ_OK;
    *run = op->run;
    if (!touches_integers(env->g, n) || is_boundary(op))
        return SQZ_OK;
    if (sqz_runs_integer(env->g, n)) {
        *run = op->run_int;
        return SQZ_OK;
    }
    if ((op->traits & SQZ_T_MOVES) || sqz_node_is_coded(env->g, n))
        return SQZ_OK;
    if (!reads_codes(env->g, n, env->arena))
        return sqz_fail(env->ctx, SQZ_E_UNSUPPORTED, "node '%s' (%s) has no integer form", n->name,
                        op->info.name);
    memset(o->in_q, 0, n->n_in * sizeof *o->in_q);
    memset(o->out_q, 0, n->n_out * sizeof *o->out_q);
    return SQZ_OK;
}

static sqz_call call_of(const sqz_step_env *env, const sqz_node *n, const operands *o)
{
    return (sqz_call){.ctx = env->ctx,
                      .attrs = n->attrs,
                      .n_in = o->n_in,
                      .n_out = o->n_out,
                      .in = o->in,
                      .out = o->out,
                      .in_q = o->in_q,
                      .out_q = o->out_q};
}

static sqz_status prepare(sqz_step_env *env, const sqz_node *n, const operands *o, sqz_call *c,
                          size_t *scratch, uint32_t *spent)
{
    *scratch = 0;
    *spent = 0;
    if (!n->op->prepare)
        return SQZ_OK;
    sqz_prep p = {.ctx = env->ctx,
                  .arena = env->arena,
                  .attrs = n->attrs,
                  .n_in = o->n_in,
                  .n_out = o->n_out,
                  .in = o->seen,
                  .out = (const sqz_tensor *const *)o->out,
                  .in_q = o->in_q,
                  .out_q = o->out_q,
                  .fused = c->fused};
    SQZ_TRY(sqz_note(env->ctx, n->op->prepare(&p), "node '%s' (%s)", n->name, n->op->info.name));
    c->state = p.state;
    *scratch = p.scratch_bytes;
    /* inputs of its own: what is fused in reads the ones behind them */
    *spent = o->n_in < 32 ? p.spent & ((1u << o->n_in) - 1) : p.spent;
    return SQZ_OK;
}

/* A fused node works on the memory of the result, which is its input 0. */
static sqz_status prepare_link(sqz_step_env *env, const sqz_link *link, sqz_vid result,
                               sqz_then *out)
{
    const sqz_node *n = sqz_nod(env->g, link->node);
    sqz_call *c = sqz_arena_alloc(env->arena, 1, sizeof *c);
    operands o;
    size_t scratch;
    uint32_t spent;
    if (!c)
        return SQZ_E_NOMEM;
    SQZ_TRY(make_operands(env, n, n->n_in, &o));
    if (link->slot != 0) { /* the operator commutes */
        const sqz_tensor *other = o.in[0], *other_seen = o.seen[0];
        const sqz_quant *q = o.in_q[0];
        o.in_q[0] = o.in_q[link->slot];
        o.in[link->slot] = other;
        o.seen[link->slot] = other_seen;
        o.in_q[link->slot] = q;
    }
    sqz_tensor *seen = sqz_arena_alloc(env->arena, 1, sizeof *seen);
    if (!seen)
        return SQZ_E_NOMEM;
    *seen = env->tensor[result];
    seen->data = NULL;
    o.seen[0] = seen;
    o.in[0] = o.out[0] = &env->tensor[result];
    *c = call_of(env, n, &o);
    SQZ_TRY(prepare(env, n, &o, c, &scratch, &spent));
    if (scratch)
        return sqz_fail(env->ctx, SQZ_E_INTERNAL, "node '%s' (%s) wants scratch in a chain",
                        n->name, n->op->info.name);
    *out = (sqz_then){n->op->part, c};
    return SQZ_OK;
}

/* Elementwise nodes one behind the other, piece by piece. */
static sqz_status chain_piece(void *arg, size_t begin, size_t end)
{
    const sqz_call *c = arg;
    return sqz_fused_then(c->fused, begin, end);
}
static sqz_status run_chain(const sqz_call *c)
{
    sqz_call call = *c;
    return sqz_parallel(c->ctx, c->out[0]->count, GRAIN, chain_piece, &call);
}

static sqz_status make_fused(sqz_step_env *env, const sqz_step *s, sqz_fused **out)
{
    const sqz_chain *h = s->chain;
    const bool leads = !(s->node->op->traits & SQZ_T_FUSES); /* the node itself is the first part */
    sqz_fused *f = *out = sqz_arena_alloc(env->arena, 1, sizeof *f);
    sqz_then *then = sqz_arena_alloc(env->arena, h->n_then + 1u, sizeof *then);
    if (!f || !then)
        return SQZ_E_NOMEM;
    *f = (sqz_fused){.bias = h->bias == SQZ_NONE ? NULL : &env->tensor[h->bias],
                     .add = h->add == SQZ_NONE ? NULL : &env->tensor[h->add],
                     .lo = h->lo,
                     .hi = h->hi,
                     .then = then,
                     .n_then = h->n_then + leads};
    if (leads)
        then[0] = (sqz_then){s->node->op->part, &s->call};
    for (uint32_t i = 0; i < h->n_then; i++)
        SQZ_TRY(prepare_link(env, &h->then[i], s->node->out[0], &then[i + leads]));
    return SQZ_OK;
}

sqz_status sqz_step_prepare(sqz_step_env *env, sqz_step *s)
{
    const sqz_node *n = s->node;
    const sqz_chain *h = s->chain;
    operands o;
    size_t scratch;
    uint32_t spent;
    SQZ_TRY(make_operands(env, n, h ? h->n_in : n->n_in, &o));
    if (h)
        o.out_q[0] = sqz_val(env->g, h->own)->quant;
    SQZ_TRY(choose_run(env, n, &o, &s->run));
    s->call = call_of(env, n, &o);
    if (h) {
        sqz_fused *f;
        SQZ_TRY(make_fused(env, s, &f));
        s->call.fused = f;
        if (!(n->op->traits & SQZ_T_FUSES))
            s->run = run_chain;
    }
    if (!s->run || s->run == copy_view)
        return SQZ_OK;
    SQZ_TRY(prepare(env, n, &o, &s->call, &scratch, &spent));
    env->scratch_bytes = SQZ_MAX(env->scratch_bytes, scratch);
    if (env->spent)
        sqz_spent_node(env->spent, env->g, n, spent, env->tensor);
    return SQZ_OK;
}
