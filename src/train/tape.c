/* tape.c: see tape.h. Time runs through the nodes and back: of n nodes, node i computes at step i
 * and hands its gradients on at step 2n - 1 - i. */
#include "train/tape.h"
#include "train/place.h"
#include <string.h>

typedef struct step {
    const sqz_node *node;
    sqz_call call;
    bool active; /* something wanted lies before it, a seed behind it */
    sqz_grad_call grad;
    bool reads_in[2], reads_out;
    double seconds[2]; /* forward, backward */
} step;

struct sqz_tape {
    sqz_ctx *ctx;
    const sqz_graph *g;
    sqz_arena arena;
    step *step;
    uint32_t n;
    sqz_tensor *tensor;         /* of each value */
    float **gradient;           /* of each value; NULL: none */
    bool *wanted, *seed, *read; /* of each value: as asked */
    bool *live, *reached;       /* with a wanted one before it; whose gradient has been begun */
    sqz_place *place;           /* n_value of data, n_value of gradients; bytes 0: none */
    void *memory;
    void *scratch;
    size_t bytes, scratch_bytes;
    bool time_nodes;
};

/* ---- what is active ---- */

static bool is_float(const sqz_tape *t, sqz_vid v)
{
    return v != SQZ_NONE && sqz_val(t->g, v)->dtype == SQZ_F32;
}

static void mark(sqz_tape *t)
{
    for (sqz_vid v = 0; v < t->g->n_value; v++)
        t->live[v] = t->wanted[v];
    for (uint32_t i = 0; i < t->n; i++) {
        const sqz_node *n = t->step[i].node;
        bool any = false;
        for (unsigned k = 0; k < n->n_in; k++)
            any = any || (is_float(t, n->in[k]) && t->live[n->in[k]]);
        for (unsigned k = 0; any && k < n->n_out; k++)
            if (is_float(t, n->out[k]))
                t->live[n->out[k]] = true;
    }
    for (sqz_vid v = 0; v < t->g->n_value; v++)
        t->reached[v] = t->seed[v];
    for (uint32_t i = t->n; i-- > 0;) {
        const sqz_node *n = t->step[i].node;
        bool in = false, out = false;
        for (unsigned k = 0; k < n->n_in; k++)
            in = in || (is_float(t, n->in[k]) && t->live[n->in[k]]);
        for (unsigned k = 0; k < n->n_out; k++)
            out = out || (n->out[k] != SQZ_NONE && t->reached[n->out[k]]);
        t->step[i].active = in && out;
        for (unsigned k = 0; in && out && k < n->n_in; k++)
            if (is_float(t, n->in[k]) && t->live[n->in[k]])
                t->reached[n->in[k]] = true;
    }
}

/* ---- time ---- */

static void needed(sqz_place *p, size_t bytes, uint32_t at)
{
    if (!p->bytes) {
        *p = (sqz_place){.begin = at, .end = at, .bytes = SQZ_MAX(bytes, (size_t)1)};
        return;
    }
    p->begin = SQZ_MIN(p->begin, at);
    p->end = SQZ_MAX(p->end, at);
}

static void forward_times(sqz_tape *t)
{
    const uint32_t last = 2 * t->n;
    for (uint32_t i = 0; i < t->n; i++) {
        const step *s = &t->step[i];
        for (unsigned k = 0; k < s->node->n_in; k++) {
            const sqz_vid v = s->node->in[k];
            if (v == SQZ_NONE || (sqz_val(t->g, v)->constant && !t->wanted[v]))
                continue;
            needed(&t->place[v], t->tensor[v].bytes, i);
            if (s->active && (k > 1 || s->reads_in[k]))
                needed(&t->place[v], t->tensor[v].bytes, 2 * t->n - 1 - i);
        }
        for (unsigned k = 0; k < s->node->n_out; k++) {
            const sqz_vid v = s->node->out[k];
            if (v == SQZ_NONE)
                continue;
            needed(&t->place[v], t->tensor[v].bytes, i);
            if (s->active && (k > 0 || s->reads_out))
                needed(&t->place[v], t->tensor[v].bytes, 2 * t->n - 1 - i);
        }
    }
    for (sqz_vid v = 0; v < t->g->n_value; v++) {
        const sqz_value *x = sqz_val(t->g, v);
        bool outside = t->wanted[v] || t->seed[v] || t->read[v] || x->role == SQZ_ROLE_INPUT;
        for (uint32_t k = 0; k < t->g->n_output; k++)
            outside = outside || t->g->output[k] == v;
        if (!outside || sqz_value_dead(x) || (x->constant && !t->wanted[v]))
            continue;
        needed(&t->place[v], t->tensor[v].bytes, 0);
        needed(&t->place[v], t->tensor[v].bytes, last);
    }
}

static void backward_times(sqz_tape *t)
{
    sqz_place *grad = t->place + t->g->n_value;
    for (uint32_t i = 0; i < t->n; i++) {
        const sqz_node *n = t->step[i].node;
        const uint32_t at = 2 * t->n - 1 - i;
        if (!t->step[i].active)
            continue;
        for (unsigned k = 0; k < n->n_in; k++)
            if (is_float(t, n->in[k]) && t->live[n->in[k]])
                needed(&grad[n->in[k]], t->tensor[n->in[k]].bytes, at);
        for (unsigned k = 0; k < n->n_out; k++)
            if (n->out[k] != SQZ_NONE && t->reached[n->out[k]])
                needed(&grad[n->out[k]], t->tensor[n->out[k]].bytes, at);
    }
    for (sqz_vid v = 0; v < t->g->n_value; v++)
        if (t->wanted[v] || t->seed[v]) {
            needed(&grad[v], t->tensor[v].bytes, 0);
            needed(&grad[v], t->tensor[v].bytes, 2 * t->n);
        }
}

/* ---- making ---- */

static sqz_status make_room(sqz_tape *t)
{
    sqz_arena *a = &t->arena;
    const size_t n = t->g->n_value + 1u;
    uint32_t count = 0;
    SQZ_EACH_NODE(t->g, id) count++;
    t->n = count;
    t->step = sqz_arena_alloc(a, count + 1u, sizeof *t->step);
    t->tensor = sqz_arena_alloc(a, n, sizeof *t->tensor);
    t->gradient = sqz_arena_alloc(a, n, sizeof *t->gradient);
    t->wanted = sqz_arena_alloc(a, n, 1);
    t->seed = sqz_arena_alloc(a, n, 1);
    t->read = sqz_arena_alloc(a, n, 1);
    t->live = sqz_arena_alloc(a, n, 1);
    t->reached = sqz_arena_alloc(a, n, 1);
    t->place = sqz_arena_alloc(a, 2 * n, sizeof *t->place);
    if (!t->step || !t->tensor || !t->gradient || !t->wanted || !t->seed || !t->read || !t->live ||
        !t->reached || !t->place)
        return SQZ_E_NOMEM;
    count = 0;
    SQZ_EACH_NODE(t->g, id) t->step[count++].node = sqz_nod(t->g, id);
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
        if (list[i] >= t->g->n_value || !is_float(t, list[i]))
            return sqz_fail(t->ctx, SQZ_E_UNSUPPORTED,
                            "value '%s' is no float32: it has no gradient",
                            list[i] < t->g->n_value ? sqz_val(t->g, list[i])->name : "?");
        flag[list[i]] = true;
    }
    return SQZ_OK;
}

/* Tensors and pointers of a node's call; data is there once memory is. */
static sqz_status operands(sqz_tape *t, step *s)
{
    static const sqz_quant *const none[UINT8_MAX]; /* all NULL: float */
    const sqz_node *n = s->node;
    sqz_arena *a = &t->arena;
    const sqz_tensor **in = sqz_arena_alloc(a, n->n_in + 1u, sizeof *in);
    sqz_tensor **out = sqz_arena_alloc(a, n->n_out + 1u, sizeof *out);
    float **in_grad = sqz_arena_alloc(a, n->n_in + 1u, sizeof *in_grad);
    const float **out_grad = sqz_arena_alloc(a, n->n_out + 1u, sizeof *out_grad);
    if (!in || !out || !in_grad || !out_grad)
        return SQZ_E_NOMEM;
    for (unsigned k = 0; k < n->n_in; k++)
        in[k] = n->in[k] == SQZ_NONE ? NULL : &t->tensor[n->in[k]];
    for (unsigned k = 0; k < n->n_out; k++)
        out[k] = n->out[k] == SQZ_NONE ? NULL : &t->tensor[n->out[k]];
    s->call = (sqz_call){.ctx = t->ctx,
                         .attrs = n->attrs,
                         .n_in = n->n_in,
                         .n_out = n->n_out,
                         .in = in,
                         .out = out,
                         .in_q = none,
                         .out_q = none};
    s->grad = (sqz_grad_call){.ctx = t->ctx,
                              .attrs = n->attrs,
                              .n_in = n->n_in,
                              .n_out = n->n_out,
                              .in = in,
                              .out = (const sqz_tensor *const *)out,
                              .out_grad = out_grad,
                              .in_grad = in_grad};
    return SQZ_OK;
}

static sqz_status prepare_run(sqz_tape *t, step *s)
{
    const sqz_node *n = s->node;
    if (!n->op->prepare)
        return SQZ_OK;
    sqz_prep p = {.ctx = t->ctx,
                  .arena = &t->arena,
                  .attrs = n->attrs,
                  .n_in = n->n_in,
                  .n_out = n->n_out,
                  .in = s->call.in,
                  .out = (const sqz_tensor *const *)s->call.out,
                  .in_q = s->call.in_q,
                  .out_q = s->call.out_q};
    SQZ_TRY(n->op->prepare(&p));
    s->call.state = p.state;
    t->scratch_bytes = SQZ_MAX(t->scratch_bytes, p.scratch_bytes);
    return SQZ_OK;
}

static sqz_status prepare_grad(sqz_tape *t, step *s)
{
    const sqz_node *n = s->node;
    sqz_grad_prep p = {.ctx = t->ctx,
                       .arena = &t->arena,
                       .attrs = n->attrs,
                       .n_in = n->n_in,
                       .n_out = n->n_out,
                       .in = s->call.in,
                       .out = (const sqz_tensor *const *)s->call.out};
    if (!s->active)
        return SQZ_OK;
    for (unsigned k = 0; k < n->n_in; k++)
        if (is_float(t, n->in[k]) && t->live[n->in[k]])
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
        step *s = &t->step[i];
        sqz_status e = operands(t, s);
        if (e == SQZ_OK)
            e = prepare_run(t, s);
        if (e == SQZ_OK)
            e = prepare_grad(t, s);
        SQZ_TRY(sqz_note(t->ctx, e, "node '%s' (%s)", s->node->name, s->node->op->info.name));
    }
    return SQZ_OK;
}

/* The first that hands a gradient to a value writes it, the others add. */
static void gradient_pointers(sqz_tape *t)
{
    for (sqz_vid v = 0; v < t->g->n_value; v++)
        t->reached[v] = t->seed[v];
    for (uint32_t i = t->n; i-- > 0;) {
        step *s = &t->step[i];
        const sqz_node *n = s->node;
        float **in_grad = (float **)(uintptr_t)s->grad.in_grad;
        const float **out_grad = (const float **)(uintptr_t)s->grad.out_grad;
        for (unsigned k = 0; s->active && k < n->n_out; k++)
            out_grad[k] = n->out[k] != SQZ_NONE && t->reached[n->out[k]] ? t->gradient[n->out[k]]
                                                                         : NULL;
        for (unsigned k = 0; s->active && k < n->n_in; k++) {
            const sqz_vid v = n->in[k];
            if (!is_float(t, v) || !t->live[v])
                continue;
            in_grad[k] = t->gradient[v];
            if (t->reached[v])
                s->grad.add |= (uint64_t)1 << SQZ_MIN(k, 63u);
            t->reached[v] = true;
        }
    }
}

static sqz_status lay_out(sqz_tape *t)
{
    const size_t n = t->g->n_value;
    forward_times(t);
    backward_times(t);
    for (size_t i = 0; i < 2 * n; i++) /* nothing asks for the others */
        t->place[i].end = t->place[i].bytes ? t->place[i].end : 0;
    SQZ_TRY(sqz_place_all(t->ctx, t->place, 2 * n, &t->bytes));
    t->memory = sqz_malloc_aligned(t->ctx, SQZ_MAX(t->bytes, (size_t)1));
    t->scratch = sqz_malloc_aligned(t->ctx, SQZ_MAX(t->scratch_bytes, (size_t)1));
    if (!t->memory || !t->scratch)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < n; v++) {
        if (t->place[v].bytes)
            t->tensor[v].data = (char *)t->memory + t->place[v].offset;
        if (t->place[n + v].bytes)
            t->gradient[v] = (float *)(void *)((char *)t->memory + t->place[n + v].offset);
        if (t->wanted[v] && sqz_val(t->g, v)->constant)
            memcpy(t->tensor[v].data, sqz_val(t->g, v)->constant->data, t->tensor[v].bytes);
    }
    for (uint32_t i = 0; i < t->n; i++)
        t->step[i].call.scratch = t->step[i].grad.scratch = t->scratch;
    return SQZ_OK;
}

static sqz_status build(sqz_tape *t, const sqz_tape_options *o)
{
    SQZ_TRY(make_room(t));
    SQZ_TRY(marked(t, o->want, o->n_want, t->wanted));
    SQZ_TRY(marked(t, o->seed, o->n_seed, t->seed));
    for (uint32_t i = 0; i < o->n_read; i++)
        t->read[o->read[i]] = true;
    mark(t);
    SQZ_TRY(prepare_all(t));
    SQZ_TRY(lay_out(t));
    gradient_pointers(t);
    return SQZ_OK;
}

sqz_status sqz_tape_create(const sqz_graph *g, const sqz_tape_options *o, sqz_tape **out)
{
    sqz_tape *t = sqz_calloc(g->ctx, 1, sizeof *t);
    *out = NULL;
    if (!t)
        return SQZ_E_NOMEM;
    t->ctx = g->ctx;
    t->g = g;
    t->arena.ctx = g->ctx;
    t->time_nodes = o->time_nodes;
    sqz_status s = build(t, o);
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
    sqz_arena_free(&t->arena);
    sqz_free(t->ctx, t);
}

float *sqz_tape_data(const sqz_tape *t, sqz_vid v) { return t->tensor[v].data; }
float *sqz_tape_grad(const sqz_tape *t, sqz_vid v) { return t->gradient[v]; }
size_t sqz_tape_count(const sqz_tape *t, sqz_vid v) { return t->tensor[v].count; }
size_t sqz_tape_bytes(const sqz_tape *t) { return t->bytes + t->scratch_bytes; }

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

sqz_status sqz_tape_forward(sqz_tape *t)
{
    double at = t->time_nodes ? sqz_now() : 0;
    for (uint32_t i = 0; i < t->n; i++) {
        step *s = &t->step[i];
        SQZ_TRY(sqz_note(t->ctx, s->node->op->run(&s->call), "node '%s' (%s)", s->node->name,
                         s->node->op->info.name));
        at = lap(t, &s->seconds[0], at);
    }
    return SQZ_OK;
}

sqz_status sqz_tape_backward(sqz_tape *t)
{
    for (sqz_vid v = 0; v < t->g->n_value; v++) /* that nothing leads to */
        if (t->wanted[v] && !t->reached[v])
            memset(t->gradient[v], 0, t->tensor[v].bytes);
    double at = t->time_nodes ? sqz_now() : 0;
    for (uint32_t i = t->n; i-- > 0;) {
        step *s = &t->step[i];
        if (s->active)
            SQZ_TRY(sqz_note(t->ctx, s->node->op->grad(&s->grad), "gradient of node '%s' (%s)",
                             s->node->name, s->node->op->info.name));
        at = lap(t, &s->seconds[1], at);
    }
    return SQZ_OK;
}
