/* tape_plan.c: the acts of a tape and the memory of its values. What is not kept is computed again
 * right before the way back first reads it, from what is kept, and then stays until its last reader
 * (Griewank & Walther 2000; Chen et al. 2016). */
#include "train/tape_impl.h"
#include <string.h>

typedef struct planner {
    const sqz_tape *t;
    sqz_tape_plan *p;
    bool *there; /* of bases: its memory holds it */
    bool *again; /* of steps: to run again now */
    uint32_t *stack;
    uint32_t last; /* behind the last act */
} planner;

static sqz_vid base_of(const planner *w, sqz_vid v)
{
    return sqz_tape_planned(w->t, v) ? w->t->base[v] : SQZ_NONE;
}

/* Memory of a base that the plan looks after; not that of a constant behind views. */
static bool is_placed(const planner *w, sqz_vid b)
{
    return b != SQZ_NONE && sqz_tape_planned(w->t, b);
}

static uint32_t new_life(planner *w, size_t bytes, uint32_t begin, uint32_t end)
{
    sqz_tape_plan *p = w->p;
    p->life[p->n_life] = (sqz_place){
        .begin = begin, .end = end, .bytes = SQZ_MAX(bytes, (size_t)1)};
    p->root[p->n_life] = p->n_life;
    return p->n_life++;
}

static void read_at(planner *w, sqz_vid v, uint32_t at)
{
    const sqz_vid b = base_of(w, v);
    if (!is_placed(w, b))
        return;
    sqz_place *l = &w->p->life[w->p->data[b]];
    l->end = SQZ_MAX(l->end, at);
}

static void write_at(planner *w, sqz_vid v, uint32_t at)
{
    const sqz_vid b = base_of(w, v);
    if (!is_placed(w, b))
        return;
    w->there[b] = true;
    if (!w->t->outside[b])
        w->p->data[b] = new_life(w, w->t->tensor[b].bytes, at, at);
}

static uint32_t life_of(const planner *w, sqz_vid v)
{
    const sqz_vid b = v == SQZ_NONE ? SQZ_NONE : base_of(w, v);
    return is_placed(w, b) ? w->p->data[b] : SQZ_NONE;
}

/* ---- acts ---- */

static void run_step(planner *w, uint32_t i, sqz_act_kind kind)
{
    const sqz_tape_step *s = &w->t->step[i];
    const uint32_t at = w->p->n_act++;
    for (unsigned k = 0; k < s->node->n_in; k++)
        read_at(w, s->node->in[k], at);
    sqz_act *a = &w->p->act[at];
    *a = (sqz_act){kind, i, s->node->n_in ? life_of(w, s->node->in[0]) : SQZ_NONE, SQZ_NONE};
    for (unsigned k = 0; k < s->node->n_out; k++)
        if (kind == SQZ_ACT_AGAIN && k > 0)
            read_at(w, s->out[k], at);
        else
            write_at(w, s->out[k], at);
    a->out_life = life_of(w, s->out[0]);
}

static uint32_t dropped_maker(const planner *w, sqz_vid v)
{
    const sqz_vid b = base_of(w, v);
    return is_placed(w, b) && !w->there[b] ? w->t->maker[b] : SQZ_NONE;
}

/* Runs again what v is computed from, back to what is there, in the order of the graph. */
static void bring_back(planner *w, sqz_vid v)
{
    const uint32_t first = dropped_maker(w, v);
    uint32_t n = 0, lo = first, hi = first;
    if (first == SQZ_NONE)
        return;
    w->stack[n++] = first;
    w->again[first] = true;
    while (n) {
        const uint32_t i = w->stack[--n];
        lo = SQZ_MIN(lo, i);
        hi = SQZ_MAX(hi, i);
        const sqz_node *nd = w->t->step[i].node;
        for (unsigned k = 0; k < nd->n_in; k++) {
            const uint32_t m = dropped_maker(w, nd->in[k]);
            if (m != SQZ_NONE && !w->again[m]) {
                w->again[m] = true;
                w->stack[n++] = m;
            }
        }
    }
    for (uint32_t i = lo; i <= hi; i++)
        if (w->again[i]) {
            w->again[i] = false;
            run_step(w, i, SQZ_ACT_AGAIN);
            w->p->again += w->t->step[i].cost;
            w->p->n_again++;
        }
}

/* ---- the way back ---- */

/* What the gradient of a step reads. */
static bool reads_input(const sqz_tape_step *s, unsigned k) { return k > 1 || s->reads_in[k]; }
static bool reads_output(const sqz_tape_step *s, unsigned k) { return k > 0 || s->reads_out; }

static void grad_at(planner *w, sqz_vid v, uint32_t at)
{
    const sqz_vid g = w->t->group[v];
    uint32_t *l = &w->p->grad[g];
    if (*l == SQZ_NONE)
        *l = new_life(w, w->t->tensor[v].bytes, at, at);
    w->p->life[*l].end = SQZ_MAX(w->p->life[*l].end, at);
}

/* Some gradient is computed, not just handed on in the same memory. */
static bool computes(const planner *w, const sqz_tape_step *s)
{
    for (unsigned k = 0; k < s->node->n_in; k++)
        if (sqz_tape_gives(w->t, s, k) && !(k < 63 && (s->passes >> k & 1)))
            return true;
    return false;
}

static void back_step(planner *w, uint32_t i)
{
    const sqz_tape_step *s = &w->t->step[i];
    const sqz_node *n = s->node;
    if (!s->active || !computes(w, s))
        return;
    for (unsigned k = 0; k < n->n_in; k++)
        if (reads_input(s, k))
            bring_back(w, n->in[k]);
    for (unsigned k = 0; k < n->n_out; k++)
        if (reads_output(s, k))
            bring_back(w, n->out[k]);
    const uint32_t at = w->p->n_act++;
    w->p->act[at] = (sqz_act){SQZ_ACT_BACK, i, SQZ_NONE, SQZ_NONE};
    for (unsigned k = 0; k < n->n_in; k++)
        if (reads_input(s, k))
            read_at(w, n->in[k], at);
    for (unsigned k = 0; k < n->n_out; k++) {
        if (reads_output(s, k))
            read_at(w, n->out[k], at);
        if (n->out[k] != SQZ_NONE && w->t->reached[n->out[k]])
            grad_at(w, n->out[k], at);
    }
    for (unsigned k = 0; k < n->n_in; k++)
        if (sqz_tape_gives(w->t, s, k))
            grad_at(w, n->in[k], at);
}

/* ---- results in the memory of what dies ---- */

static uint32_t find(const sqz_tape_plan *p, uint32_t l)
{
    while (p->root[l] != l)
        l = p->root[l];
    return l;
}

/* Life b begins where life a ends: they become one. */
static void chain(sqz_tape_plan *p, uint32_t a, uint32_t b, uint32_t at)
{
    if (a == SQZ_NONE || b == SQZ_NONE)
        return;
    a = find(p, a);
    b = find(p, b);
    if (a == b || p->life[a].end != at || p->life[b].begin != at ||
        p->life[a].bytes != p->life[b].bytes)
        return;
    p->life[a].end = p->life[b].end;
    p->life[b].bytes = 0;
    p->root[b] = a;
}

static bool grad_in_place(const sqz_tape_step *s)
{
    const uint32_t both = SQZ_T_UNARY | SQZ_T_ELEMENTWISE;
    return (s->node->op->traits & both) == both || sqz_tape_is_op(s, "batch_norm_train");
}

static void in_place(planner *w)
{
    sqz_tape_plan *p = w->p;
    for (uint32_t at = 0; at < p->n_act; at++) {
        const sqz_act *a = &p->act[at];
        const sqz_tape_step *s = &w->t->step[a->step];
        if (a->kind != SQZ_ACT_BACK) {
            if (s->node->op->traits & SQZ_T_IN_PLACE)
                chain(p, a->in_life, a->out_life, at);
        } else if (grad_in_place(s) && sqz_tape_gives(w->t, s, 0) && !(s->grad.add & 1) &&
                   w->t->reached[s->node->out[0]]) {
            chain(p, p->grad[w->t->group[s->node->out[0]]], p->grad[w->t->group[s->node->in[0]]],
                  at);
        }
    }
}

/* ---- all of it ---- */

/* What is there before and after a step of training. */
static void begin(planner *w)
{
    const sqz_tape *t = w->t;
    for (sqz_vid v = 0; v < t->g->n_value; v++) {
        w->p->data[v] = w->p->grad[v] = SQZ_NONE;
        if (t->base[v] == v && t->outside[v] && sqz_tape_planned(t, v) &&
            !sqz_value_dead(sqz_val(t->g, v))) {
            w->p->data[v] = new_life(w, t->tensor[v].bytes, 0, w->last);
            w->there[v] = true;
        }
    }
    for (sqz_vid v = 0; v < t->g->n_value; v++)
        if ((t->wanted[v] || t->seed[v]) && w->p->grad[t->group[v]] == SQZ_NONE)
            w->p->grad[t->group[v]] = new_life(w, t->tensor[v].bytes, 0, w->last);
}

static sqz_status make_room(planner *w, sqz_arena *a)
{
    const sqz_tape *t = w->t;
    size_t outs = 0;
    for (uint32_t i = 0; i < t->n; i++)
        outs += t->step[i].node->n_out;
    const size_t lives = 2 * outs + 2 * (size_t)t->g->n_value + 1;
    w->last = 3 * t->n;
    w->p->act = sqz_arena_alloc(a, 3 * (size_t)t->n + 1, sizeof *w->p->act);
    w->p->life = sqz_arena_alloc(a, lives, sizeof *w->p->life);
    w->p->root = sqz_arena_alloc(a, lives, sizeof *w->p->root);
    w->p->data = sqz_arena_alloc(a, t->g->n_value + 1u, sizeof *w->p->data);
    w->p->grad = sqz_arena_alloc(a, t->g->n_value + 1u, sizeof *w->p->grad);
    w->there = sqz_arena_alloc(a, t->g->n_value + 1u, 1);
    w->again = sqz_arena_alloc(a, t->n + 1u, 1);
    w->stack = sqz_arena_alloc(a, t->n + 1u, sizeof *w->stack);
    return w->p->act && w->p->life && w->p->root && w->p->data && w->p->grad && w->there &&
                   w->again && w->stack
               ? SQZ_OK
               : SQZ_E_NOMEM;
}

sqz_status sqz_tape_plan_make(const sqz_tape *t, const bool *drop, sqz_arena *a, sqz_tape_plan *out)
{
    *out = (sqz_tape_plan){0};
    planner w = {.t = t, .p = out};
    SQZ_TRY(make_room(&w, a));
    begin(&w);
    for (uint32_t i = 0; i < t->n; i++)
        if (t->step[i].runs)
            run_step(&w, i, SQZ_ACT_RUN);
    out->n_forward = out->n_act;
    for (sqz_vid v = 0; v < t->g->n_value; v++)
        if (drop[v])
            w.there[v] = false;
    for (uint32_t i = t->n; i-- > 0;)
        back_step(&w, i);
    if (!t->plain)
        in_place(&w);
    return sqz_place_all(t->ctx, out->life, out->n_life, &out->bytes);
}
