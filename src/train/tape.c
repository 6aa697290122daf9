/* tape.c: see tape.h. Making: what is fused, which nodes are active, what they ask for, the plan.
 * Running: the acts of the plan, one after the other. */
#include "train/tape_impl.h"
#include <string.h>

/* ---- what is active ---- */

static bool any_live(const sqz_tape *t, const sqz_node *n)
{
    bool any = false;
    for (unsigned k = 0; k < n->n_in; k++)
        any = any || (sqz_tape_is_float(t, n->in[k]) && t->live[n->in[k]]);
    return any;
}

static void mark(sqz_tape *t)
{
    for (sqz_vid v = 0; v < t->g->n_value; v++)
        t->live[v] = t->wanted[v];
    for (uint32_t i = 0; i < t->n; i++) {
        const sqz_node *n = t->step[i].node;
        const bool any = any_live(t, n);
        for (unsigned k = 0; any && k < n->n_out; k++)
            if (sqz_tape_is_float(t, n->out[k]))
                t->live[n->out[k]] = true;
    }
    for (sqz_vid v = 0; v < t->g->n_value; v++)
        t->reached[v] = t->seed[v];
    for (uint32_t i = t->n; i-- > 0;) {
        const sqz_node *n = t->step[i].node;
        const bool in = any_live(t, n);
        bool out = false;
        for (unsigned k = 0; k < n->n_out; k++)
            out = out || (n->out[k] != SQZ_NONE && t->reached[n->out[k]]);
        t->step[i].active = in && out;
        for (unsigned k = 0; in && out && k < n->n_in; k++)
            if (sqz_tape_gives(t, &t->step[i], k))
                t->reached[n->in[k]] = true;
    }
}

/* ---- making ---- */

static sqz_status make_lists(sqz_tape *t)
{
    sqz_arena *a = &t->arena;
    const size_t n = t->g->n_value + 1u;
    t->tensor = sqz_arena_alloc(a, n, sizeof *t->tensor);
    t->gradient = sqz_arena_alloc(a, n, sizeof *t->gradient);
    t->wanted = sqz_arena_alloc(a, n, 1);
    t->seed = sqz_arena_alloc(a, n, 1);
    t->read = sqz_arena_alloc(a, n, 1);
    t->live = sqz_arena_alloc(a, n, 1);
    t->reached = sqz_arena_alloc(a, n, 1);
    t->outside = sqz_arena_alloc(a, n, 1);
    t->drop = sqz_arena_alloc(a, n, 1);
    t->base = sqz_arena_alloc(a, n, sizeof *t->base);
    t->next = sqz_arena_alloc(a, n, sizeof *t->next);
    t->maker = sqz_arena_alloc(a, n, sizeof *t->maker);
    t->group = sqz_arena_alloc(a, n, sizeof *t->group);
    t->next_in_group = sqz_arena_alloc(a, n, sizeof *t->next_in_group);
    return t->tensor && t->gradient && t->wanted && t->seed && t->read && t->live && t->reached &&
                   t->outside && t->drop && t->base && t->next && t->maker && t->group &&
                   t->next_in_group
               ? SQZ_OK
               : SQZ_E_NOMEM;
}

static double elements(const sqz_value *v)
{
    double n = 1;
    for (int32_t d = 0; d < v->shape.rank; d++)
        n *= (double)v->shape.dim[d];
    return n;
}

static sqz_status make_steps(sqz_tape *t)
{
    SQZ_EACH_NODE(t->g, count) t->n++;
    t->step = sqz_arena_alloc(&t->arena, t->n + 1u, sizeof *t->step);
    if (!t->step)
        return SQZ_E_NOMEM;
    sqz_tape_step *s = t->step;
    SQZ_EACH_NODE(t->g, id)
    {
        sqz_cost cost = {0};
        sqz_node_cost(t->g, sqz_nod(t->g, id), &cost);
        s->node = sqz_nod(t->g, id);
        s->out = s->node->out;
        s->runs = true;
        s->cost = (double)cost.macs + (double)cost.ops;
        for (unsigned k = 0; k < s->node->n_out; k++)
            if (s->out[k] != SQZ_NONE)
                s->cost += 32 * elements(sqz_val(t->g, s->out[k]));
        s++;
    }
    for (sqz_vid v = 0; v < t->g->n_value; v++) {
        const sqz_value *x = sqz_val(t->g, v);
        if (x->constant)
            t->tensor[v] = *x->constant; /* borrowed */
        else if (!sqz_value_dead(x))
            SQZ_TRY(sqz_tensor_view(t->ctx, x->dtype, &x->shape, NULL, &t->tensor[v]));
    }
    return SQZ_OK;
}

static sqz_status marked(const sqz_tape *t, const sqz_vid *list, uint32_t n, bool *flag)
{
    for (uint32_t i = 0; i < n; i++) {
        if (list[i] >= t->g->n_value || !sqz_tape_is_float(t, list[i]))
            return sqz_fail(t->ctx, SQZ_E_UNSUPPORTED,
                            "value '%s' is no float32: it has no gradient",
                            list[i] < t->g->n_value ? sqz_val(t->g, list[i])->name : "?");
        flag[list[i]] = true;
    }
    return SQZ_OK;
}

/* Tensors and pointers of a node's call; data is there once memory is. */
static sqz_status operands(sqz_tape *t, sqz_tape_step *s)
{
    static const sqz_quant *const none[UINT8_MAX]; /* all NULL: float */
    const sqz_node *n = s->node;
    sqz_arena *a = &t->arena;
    const sqz_tensor **in = sqz_arena_alloc(a, n->n_in + 1u, sizeof *in);
    sqz_tensor **out = sqz_arena_alloc(a, n->n_out + 1u, sizeof *out);
    const sqz_tensor **own = sqz_arena_alloc(a, n->n_out + 1u, sizeof *own);
    float **in_grad = sqz_arena_alloc(a, n->n_in + 1u, sizeof *in_grad);
    const float **out_grad = sqz_arena_alloc(a, n->n_out + 1u, sizeof *out_grad);
    if (!in || !out || !own || !in_grad || !out_grad)
        return SQZ_E_NOMEM;
    for (unsigned k = 0; k < n->n_in; k++)
        in[k] = n->in[k] == SQZ_NONE ? NULL : &t->tensor[n->in[k]];
    for (unsigned k = 0; k < n->n_out; k++) {
        out[k] = s->out[k] == SQZ_NONE ? NULL : &t->tensor[s->out[k]];
        own[k] = n->out[k] == SQZ_NONE ? NULL : &t->tensor[n->out[k]];
    }
    s->call = (sqz_call){.ctx = t->ctx,
                         .attrs = n->attrs,
                         .n_in = n->n_in,
                         .n_out = n->n_out,
                         .in = in,
                         .out = out,
                         .in_q = none,
                         .out_q = none,
                         .fused = s->call.fused};
    s->grad = (sqz_grad_call){.ctx = t->ctx,
                              .attrs = n->attrs,
                              .n_in = n->n_in,
                              .n_out = n->n_out,
                              .in = in,
                              .out = own,
                              .out_grad = out_grad,
                              .in_grad = in_grad};
    return SQZ_OK;
}

static sqz_status prepare_run(sqz_tape *t, sqz_tape_step *s)
{
    const sqz_node *n = s->node;
    if (!n->op->prepare || !s->runs)
        return SQZ_OK;
    sqz_prep p = {.ctx = t->ctx,
                  .arena = &t->arena,
                  .attrs = n->attrs,
                  .n_in = n->n_in,
                  .n_out = n->n_out,
                  .in = s->call.in,
                  .out = (const sqz_tensor *const *)s->call.out,
                  .in_q = s->call.in_q,
                  .out_q = s->call.out_q,
                  .fused = s->call.fused};
    SQZ_TRY(n->op->prepare(&p));
    s->call.state = p.state;
    t->scratch_bytes = SQZ_MAX(t->scratch_bytes, p.scratch_bytes);
    return SQZ_OK;
}

static sqz_status prepare_grad(sqz_tape *t, sqz_tape_step *s)
{
    const sqz_node *n = s->node;
    sqz_grad_prep p = {.ctx = t->ctx,
                       .arena = &t->arena,
                       .attrs = n->attrs,
                       .n_in = n->n_in,
                       .n_out = n->n_out,
                       .in = s->call.in,
                       .out = s->grad.out};
    if (!s->active)
        return SQZ_OK;
    for (unsigned k = 0; k < n->n_in; k++)
        if (sqz_tape_gives(t, s, k))
            p.want |= (uint64_t)1 << SQZ_MIN(k, 63u);
    SQZ_TRY(sqz_grad_prepare(n->op, &p));
    s->grad.state = p.state;
    s->reads_in[0] = p.reads_in[0];
    s->reads_in[1] = p.reads_in[1];
    s->reads_out = p.reads_out;
    t->scratch_bytes = SQZ_MAX(t->scratch_bytes, p.scratch_bytes);
    return SQZ_OK;
}

/* Wanted constants are not constant for the operators. */
static sqz_status prepare_all(sqz_tape *t)
{
    for (sqz_vid v = 0; v < t->g->n_value; v++)
        if (t->wanted[v])
            t->tensor[v].data = NULL;
    for (uint32_t i = 0; i < t->n; i++) {
        sqz_tape_step *s = &t->step[i];
        sqz_status e = operands(t, s);
        if (e == SQZ_OK)
            e = prepare_run(t, s);
        if (e == SQZ_OK)
            e = prepare_grad(t, s);
        SQZ_TRY(sqz_note(t->ctx, e, "node '%s' (%s)", s->node->name, s->node->op->info.name));
    }
    return SQZ_OK;
}

/* The first that hands a gradient to a value writes it, the others add; those that share its memory
 * have nothing to do. */
static void gradient_order(sqz_tape *t)
{
    for (sqz_vid v = 0; v < t->g->n_value; v++)
        t->reached[v] = t->seed[v];
    for (uint32_t i = t->n; i-- > 0;) {
        sqz_tape_step *s = &t->step[i];
        for (unsigned k = 0; s->active && k < s->node->n_in; k++) {
            const sqz_vid v = s->node->in[k];
            if (!sqz_tape_gives(t, s, k))
                continue;
            if (t->reached[v])
                s->grad.add |= (uint64_t)1 << SQZ_MIN(k, 63u);
            t->reached[v] = true;
        }
    }
}

static void gradient_pointers(sqz_tape *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        sqz_tape_step *s = &t->step[i];
        const sqz_node *n = s->node;
        float **in_grad = (float **)(uintptr_t)s->grad.in_grad;
        const float **out_grad = (const float **)(uintptr_t)s->grad.out_grad;
        for (unsigned k = 0; s->active && k < n->n_out; k++)
            out_grad[k] = n->out[k] != SQZ_NONE && t->reached[n->out[k]] ? t->gradient[n->out[k]]
                                                                         : NULL;
        for (unsigned k = 0; s->active && k < n->n_in; k++)
            if (sqz_tape_gives(t, s, k) && !(k < 63 && (s->passes >> k & 1)))
                in_grad[k] = t->gradient[n->in[k]];
    }
}

/* Memory of a life of the plan. */
static void *at_life(const sqz_tape *t, uint32_t life)
{
    while (t->plan.root[life] != life)
        life = t->plan.root[life];
    return (char *)t->memory + t->plan.life[life].offset;
}

/* All values of a base stand there now. */
static void move_to(sqz_tape *t, sqz_vid base, void *data)
{
    for (sqz_vid v = base; v != SQZ_NONE; v = t->next[v])
        t->tensor[v].data = data;
}

static void data_pointers(sqz_tape *t)
{
    for (sqz_vid v = 0; v < t->g->n_value; v++) {
        const uint32_t data = t->plan.data[v], grad = t->plan.grad[t->group[v]];
        if (t->base[v] == v)
            move_to(t, v, data == SQZ_NONE ? t->tensor[v].data : at_life(t, data));
        if (grad != SQZ_NONE)
            t->gradient[v] = at_life(t, grad);
    }
    for (sqz_vid v = 0; v < t->g->n_value; v++)
        if (t->wanted[v] && sqz_val(t->g, v)->constant)
            memcpy(t->tensor[v].data, sqz_val(t->g, v)->constant->data, t->tensor[v].bytes);
}

static sqz_status lay_out(sqz_tape *t, size_t limit)
{
    SQZ_TRY(sqz_tape_choose(t, limit));
    SQZ_TRY(sqz_tape_plan_make(t, t->drop, &t->arena, &t->plan));
    t->memory = sqz_malloc_aligned(t->ctx, SQZ_MAX(t->plan.bytes, (size_t)1));
    t->scratch = sqz_malloc_aligned(t->ctx, SQZ_MAX(t->scratch_bytes, (size_t)1));
    if (!t->memory || !t->scratch)
        return SQZ_E_NOMEM;
    data_pointers(t);
    gradient_pointers(t);
    for (uint32_t i = 0; i < t->n; i++)
        t->step[i].call.scratch = t->step[i].grad.scratch = t->scratch;
    return SQZ_OK;
}

static sqz_status build(sqz_tape *t, const sqz_graph *g, const sqz_tape_options *o)
{
    SQZ_TRY(sqz_graph_clone(g, &t->g));
    SQZ_TRY(make_lists(t));
    SQZ_TRY(marked(t, o->want, o->n_want, t->wanted));
    SQZ_TRY(marked(t, o->seed, o->n_seed, t->seed));
    for (uint32_t i = 0; i < o->n_read; i++)
        t->read[o->read[i]] = true;
    if (!t->plain)
        SQZ_TRY(sqz_tape_fuse_norms(t));
    SQZ_TRY(sqz_tape_share_batch(t));
    SQZ_TRY(make_steps(t));
    if (!t->plain)
        SQZ_TRY(sqz_tape_fuse_clamps(t));
    mark(t);
    SQZ_TRY(sqz_tape_share_values(t));
    SQZ_TRY(prepare_all(t));
    SQZ_TRY(sqz_tape_share_gradients(t));
    gradient_order(t);
    return lay_out(t, o->memory_limit);
}

sqz_status sqz_tape_create(const sqz_graph *g, const sqz_tape_options *o, sqz_tape **out)
{
    sqz_tape *t = sqz_calloc(g->ctx, 1, sizeof *t);
    *out = NULL;
    if (!t)
        return SQZ_E_NOMEM;
    t->ctx = g->ctx;
    t->arena.ctx = g->ctx;
    t->time_nodes = o->time_nodes;
    t->plain = o->plain;
    t->team = o->team;
    sqz_status s = build(t, g, o);
    if (s != SQZ_OK)
        sqz_tape_free(t);
    else
        *out = t;
    return s;
}

void sqz_tape_free(sqz_tape *t)
{
    if (!t)
        return;
    sqz_free_aligned(t->ctx, t->memory);
    sqz_free_aligned(t->ctx, t->scratch);
    sqz_graph_free(t->g);
    sqz_arena_free(&t->arena);
    sqz_free(t->ctx, t);
}

float *sqz_tape_data(const sqz_tape *t, sqz_vid v) { return t->tensor[v].data; }
float *sqz_tape_grad(const sqz_tape *t, sqz_vid v) { return t->gradient[v]; }
size_t sqz_tape_count(const sqz_tape *t, sqz_vid v) { return t->tensor[v].count; }
size_t sqz_tape_bytes(const sqz_tape *t) { return t->plan.bytes + t->scratch_bytes; }
uint32_t sqz_tape_again(const sqz_tape *t) { return t->plan.n_again; }

void sqz_tape_seconds(const sqz_tape *t, sqz_nid n, double seconds[2])
{
    seconds[0] = seconds[1] = 0;
    for (uint32_t i = 0; i < t->n; i++)
        if (t->step[i].node == sqz_nod(t->g, n))
            memcpy(seconds, t->step[i].seconds, sizeof t->step[i].seconds);
}

/* ---- running ---- */

void sqz_tape_set_step(sqz_tape *t, uint64_t now)
{
    for (uint32_t i = 0; i < t->n; i++)
        t->step[i].call.step = t->step[i].grad.step = now;
}

static double lap(const sqz_tape *t, double *sum, double since)
{
    const double now = t->time_nodes ? sqz_now() : 0;
    *sum += now - since;
    return now;
}

static sqz_status act(sqz_tape *t, const sqz_act *a)
{
    sqz_tape_step *s = &t->step[a->step];
    const char *name = s->node->name, *op = s->node->op->info.name;
    if (a->kind == SQZ_ACT_BACK)
        return sqz_note(t->ctx, s->node->op->grad(&s->grad), "gradient of node '%s' (%s)", name,
                        op);
    if (t->drop[s->out[0]]) /* it stands in another place each time */
        move_to(t, s->out[0], at_life(t, a->out_life));
    sqz_call c = s->call;
    c.again = a->kind == SQZ_ACT_AGAIN;
    return sqz_note(t->ctx, s->node->op->run(&c), "node '%s' (%s)", name, op);
}

static sqz_status acts(sqz_tape *t, uint32_t begin, uint32_t end, int way)
{
    double at = t->time_nodes ? sqz_now() : 0;
    for (uint32_t i = begin; i < end; i++) {
        SQZ_TRY(act(t, &t->plan.act[i]));
        at = lap(t, &t->step[t->plan.act[i].step].seconds[way], at);
    }
    return SQZ_OK;
}

sqz_status sqz_tape_forward(sqz_tape *t) { return acts(t, 0, t->plan.n_forward, 0); }

sqz_status sqz_tape_backward(sqz_tape *t)
{
    for (sqz_vid v = 0; v < t->g->n_value; v++) /* that nothing leads to */
        if (t->wanted[v] && !t->reached[v])
            memset(t->gradient[v], 0, t->tensor[v].bytes);
    return acts(t, t->plan.n_forward, t->plan.n_act, 1);
}
