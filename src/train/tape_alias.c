/* tape_alias.c: what needs no memory of its own. A view is its input. A gradient that an operator
 * hands on unchanged (views, sums) is that of its output, as long as nobody writes to the one while
 * the other is still to be read. Times of the way back: step i of n hands on at n - 1 - i. */
#include "exec/exec.h"
#include "ops/grad.h"
#include "train/tape_impl.h"

static bool is_view(const sqz_tape *t, const sqz_node *n)
{
    return n->n_out == 1 && n->in[0] != SQZ_NONE && sqz_node_is_view(t->g, n) &&
           sqz_val(t->g, n->in[0])->dtype == sqz_val(t->g, n->out[0])->dtype;
}

sqz_status sqz_tape_share_values(sqz_tape *t)
{
    for (sqz_vid v = 0; v < t->g->n_value; v++) {
        t->base[v] = v;
        t->next[v] = t->maker[v] = SQZ_NONE;
    }
    for (uint32_t i = 0; i < t->n; i++) {
        sqz_tape_step *s = &t->step[i];
        if (s->runs && !t->plain && is_view(t, s->node)) {
            const sqz_vid x = t->base[s->node->in[0]], y = s->node->out[0];
            s->runs = false;
            t->base[y] = x;
            t->next[y] = t->next[x];
            t->next[x] = y;
        }
        for (unsigned k = 0; s->runs && k < s->node->n_out; k++)
            if (s->out[k] != SQZ_NONE)
                t->maker[s->out[k]] = i;
    }
    for (sqz_vid v = 0; v < t->g->n_value; v++) {
        const sqz_value *x = sqz_val(t->g, v);
        bool seen = t->wanted[v] || t->seed[v] || t->read[v] || x->role == SQZ_ROLE_INPUT;
        for (uint32_t k = 0; k < t->g->n_output; k++)
            seen = seen || t->g->output[k] == v;
        if (seen)
            t->outside[t->base[v]] = true;
    }
    return SQZ_OK;
}

/* ---- gradients ---- */

typedef struct sharer {
    sqz_tape *t;
    sqz_uses uses;
    uint32_t *step_of; /* of each node */
    uint32_t *made;    /* of each value: the step of its producer, SQZ_NONE: none */
} sharer;

/* When the gradient of v is read for the last time. */
static uint32_t last_read(const sharer *h, sqz_vid v)
{
    if (h->t->wanted[v] || h->t->seed[v] || h->made[v] == SQZ_NONE)
        return UINT32_MAX;
    return h->t->n - 1 - h->made[v];
}

/* No member of the group of `a` is written to, from time `now` on, before all of group `b` has been
 * read. `step`, `slot`: the write that sharing does away with. */
static bool undisturbed(const sharer *h, sqz_vid a, sqz_vid b, uint32_t now, uint32_t step,
                        unsigned slot)
{
    const sqz_tape *t = h->t;
    uint32_t until = 0;
    for (sqz_vid m = b; m != SQZ_NONE; m = t->next_in_group[m])
        until = SQZ_MAX(until, last_read(h, m));
    for (sqz_vid m = a; m != SQZ_NONE; m = t->next_in_group[m])
        for (uint32_t u = h->uses.first[m]; u < h->uses.first[m + 1]; u++) {
            const sqz_nid id = h->uses.node[u];
            if (id == SQZ_NONE)
                continue;
            const uint32_t s = h->step_of[id], at = t->n - 1 - s;
            if (!t->step[s].active || at < now || (s == step && h->uses.slot[u] == slot))
                continue;
            if (at <= until)
                return false;
        }
    return true;
}

static bool same_shape(const sqz_tape *t, sqz_vid a, sqz_vid b)
{
    return sqz_shape_eq(&sqz_val(t->g, a)->shape, &sqz_val(t->g, b)->shape);
}

/* The gradient of input k is that of the output, number by number. */
static bool hands_on(const sqz_tape *t, const sqz_tape_step *s, unsigned k)
{
    const sqz_node *n = s->node;
    if (n->n_out != 1 || !sqz_tape_gives(t, s, k))
        return false;
    if (k == 0 && (n->op->grad == sqz_grad_copy || is_view(t, n)))
        return t->tensor[n->in[0]].count == t->tensor[n->out[0]].count;
    return (sqz_tape_is_op(s, "add") || (k == 0 && sqz_tape_is_op(s, "sub"))) &&
           same_shape(t, n->in[k], n->out[0]);
}

/* All of the group of b joins that of a, whose head is its first value. */
static void join(sqz_tape *t, sqz_vid a, sqz_vid b)
{
    sqz_vid last = a;
    while (t->next_in_group[last] != SQZ_NONE)
        last = t->next_in_group[last];
    t->next_in_group[last] = b;
    for (sqz_vid m = b; m != SQZ_NONE; m = t->next_in_group[m])
        t->group[m] = a;
}

static void share_step(sharer *h, uint32_t i)
{
    sqz_tape *t = h->t;
    sqz_tape_step *s = &t->step[i];
    const uint32_t now = t->n - 1 - i;
    for (unsigned k = 0; k < s->node->n_in && k < 63; k++) {
        if (!hands_on(t, s, k))
            continue;
        const sqz_vid x = s->node->in[k], y = s->node->out[0], group = t->group[y];
        if (t->reached[x] || t->wanted[x] || t->seed[x] || t->seed[y] || t->group[x] != x)
            continue; /* another one has begun it, or somebody outside holds it */
        if (!undisturbed(h, x, group, now, i, k) || !undisturbed(h, group, x, now, i, k))
            continue;
        join(t, group, x);
        s->passes |= (uint64_t)1 << k;
    }
}

sqz_status sqz_tape_share_gradients(sqz_tape *t)
{
    sharer h = {.t = t,
                .step_of = sqz_arena_alloc(&t->arena, t->g->n_node + 1u, sizeof *h.step_of),
                .made = sqz_arena_alloc(&t->arena, t->g->n_value + 1u, sizeof *h.made)};
    if (!h.step_of || !h.made)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_uses_build(t->g, &t->arena, &h.uses));
    uint32_t count = 0;
    SQZ_EACH_NODE(t->g, id) h.step_of[id] = count++;
    for (sqz_vid v = 0; v < t->g->n_value; v++) {
        const sqz_nid p = sqz_val(t->g, v)->producer;
        h.made[v] = p == SQZ_NONE ? SQZ_NONE : h.step_of[p];
        t->group[v] = v;
        t->next_in_group[v] = SQZ_NONE;
        t->reached[v] = t->seed[v];
    }
    for (uint32_t i = t->n; i-- > 0;) {
        const sqz_tape_step *s = &t->step[i];
        if (!s->active)
            continue;
        if (t->reached[s->node->out[0]] && !t->plain)
            share_step(&h, i);
        for (unsigned k = 0; k < s->node->n_in; k++)
            if (sqz_tape_gives(t, s, k))
                t->reached[s->node->in[k]] = true;
    }
    return SQZ_OK;
}
