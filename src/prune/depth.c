/* depth.c: a shallower network: residual blocks y = x + f(x) of which only x stays. */
#include "ir/pass.h"
#include "prune/watch.h"
#include <math.h>
#include <string.h>

static bool is(const sqz_node *n, const char *op) { return strcmp(n->op->info.name, op) == 0; }

/* ---- finding ---- */

typedef struct search {
    const sqz_graph *g;
    sqz_uses uses;
    uint32_t *mark; /* of a node: round in which it was found to be part of f */
    uint32_t round;
    sqz_nid *stack;
} search;

/* Goes up from f to x. False when f depends on anything else that is computed, or not on x. */
static bool rises_to(search *s, sqz_vid f, sqz_vid x)
{
    uint32_t n = 0;
    bool met = false;
    const sqz_nid first = sqz_val(s->g, f)->producer;
    if (first == SQZ_NONE || f == x)
        return false;
    s->mark[first] = ++s->round;
    s->stack[n++] = first;
    while (n) {
        const sqz_node *k = sqz_nod(s->g, s->stack[--n]);
        for (unsigned i = 0; i < k->n_in; i++) {
            const sqz_vid v = k->in[i];
            if (v == SQZ_NONE || sqz_val(s->g, v)->constant)
                continue;
            const sqz_nid p = sqz_val(s->g, v)->producer;
            if (v == x) {
                met = true;
            } else if (p == SQZ_NONE) {
                return false;
            } else if (s->mark[p] != s->round) {
                s->mark[p] = s->round;
                s->stack[n++] = p;
            }
        }
    }
    return met;
}

/* What f computes on the way is read by f and by the addition only. */
static bool is_closed(const search *s, sqz_nid add)
{
    SQZ_EACH_NODE(s->g, id)
    {
        const sqz_node *n = sqz_nod(s->g, id);
        for (unsigned i = 0; s->mark[id] == s->round && i < n->n_out; i++)
            for (uint32_t u = s->uses.first[n->out[i]]; u < s->uses.first[n->out[i] + 1]; u++) {
                const sqz_nid reader = s->uses.node[u];
                if (reader == SQZ_NONE || (reader != add && s->mark[reader] != s->round))
                    return false;
            }
    }
    return true;
}

static bool is_output(const sqz_graph *g, sqz_vid v)
{
    for (uint32_t i = 0; i < g->n_output; i++)
        if (g->output[i] == v)
            return true;
    return false;
}

static bool is_block(search *s, sqz_nid id, sqz_residual *out)
{
    const sqz_node *n = sqz_nod(s->g, id);
    if (!is(n, "add") || is_output(s->g, n->out[0]))
        return false;
    for (unsigned k = 0; k < 2; k++) {
        const sqz_vid x = n->in[k], f = n->in[1 - k];
        if (!sqz_shape_eq(&sqz_val(s->g, x)->shape, &sqz_val(s->g, n->out[0])->shape) ||
            sqz_val(s->g, x)->constant || sqz_val(s->g, f)->constant)
            continue;
        if (!rises_to(s, f, x) || !is_closed(s, id))
            continue;
        *out = (sqz_residual){.add = id, .x = x, .f = f, .y = n->out[0], .change = NAN};
        return true;
    }
    return false;
}

/* A block inside of f is found before the addition behind f: the outer one is left out. */
static bool holds_block(const search *s, const sqz_residual *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (s->mark[b[i].add] == s->round)
            return true;
    return false;
}

sqz_status sqz_residuals_find(const sqz_graph *g, sqz_arena *a, sqz_residual **blocks, uint32_t *n)
{
    search s = {.g = g};
    *n = 0;
    SQZ_TRY(sqz_uses_build(g, a, &s.uses));
    s.mark = sqz_arena_alloc(a, (size_t)g->n_node + 1, sizeof *s.mark);
    s.stack = sqz_arena_alloc(a, (size_t)g->n_node + 1, sizeof *s.stack);
    *blocks = sqz_arena_alloc(a, (size_t)g->n_node + 1, sizeof **blocks);
    if (!s.mark || !s.stack || !*blocks)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(g, id)
    {
        sqz_residual b;
        if (is_block(&s, id, &b) && !holds_block(&s, *blocks, *n))
            (*blocks)[(*n)++] = b;
    }
    return SQZ_OK;
}

/* ---- measuring ---- */

#define SAMPLES 64

typedef struct squares { /* sums over samples, of each value that is wanted */
    double *sum;         /* by value */
    const bool *want;
} squares;

static sqz_status see(void *user, sqz_nid node, sqz_vid v, const sqz_tensor *t)
{
    squares *q = user;
    (void)node;
    if (!q->want[v] || t->dtype != SQZ_F32)
        return SQZ_OK;
    for (size_t i = 0; i < t->count; i++)
        q->sum[v] += (double)SQZ_F32P(t)[i] * (double)SQZ_F32P(t)[i];
    return SQZ_OK;
}

sqz_status sqz_residuals_measure(const sqz_graph *g, const sqz_student_env *env, sqz_residual *b,
                                 uint32_t n)
{
    sqz_arena a = {.ctx = g->ctx};
    bool *want = sqz_arena_alloc(&a, (size_t)g->n_value + 1, sizeof *want);
    squares q = {.sum = sqz_arena_alloc(&a, (size_t)g->n_value + 1, sizeof *q.sum), .want = want};
    sqz_status s = want && q.sum ? SQZ_OK : SQZ_E_NOMEM;
    for (uint32_t i = 0; s == SQZ_OK && i < n; i++)
        want[b[i].x] = want[b[i].f] = true;
    if (s == SQZ_OK)
        s = sqz_watch(g, env, SAMPLES, see, &q);
    for (uint32_t i = 0; s == SQZ_OK && i < n; i++)
        b[i].change = q.sum[b[i].x] > 0 ? sqrt(q.sum[b[i].f] / q.sum[b[i].x]) : INFINITY;
    sqz_arena_free(&a);
    return s;
}

/* ---- removing ---- */

/* Marks which `less` of n blocks go. */
static void pick(const sqz_residual *b, uint32_t n, uint32_t less, bool *go)
{
    for (uint32_t i = 0; i < less && isnan(b[0].change); i++)
        go[((2 * (uint64_t)i + 1) * n) / (2 * (uint64_t)less)] = true;
    for (uint32_t i = 0; i < less && !isnan(b[0].change); i++) {
        uint32_t least = SQZ_NONE;
        for (uint32_t k = 0; k < n; k++)
            if (!go[k] && (least == SQZ_NONE || b[k].change < b[least].change))
                least = k;
        go[least] = true;
    }
}

/* A clamp behind the addition is the clamp that x has been through already: once is enough. */
static void join_clamps(sqz_graph *g, const sqz_uses *u, const sqz_residual *b, sqz_vid x)
{
    const sqz_nid made = sqz_val(g, x)->producer;
    if (sqz_n_uses(u, b->y) != 1 || made == SQZ_NONE || u->node[u->first[b->y]] == SQZ_NONE)
        return;
    const sqz_node *after = sqz_nod(g, u->node[u->first[b->y]]), *before = sqz_nod(g, made);
    if (after->op == before->op && (after->op->traits & SQZ_T_RELU_LIKE) &&
        (!after->attrs || sqz_opts_equal(&after->op->info, after->attrs, before->attrs)) &&
        !is_output(g, after->out[0]))
        sqz_graph_replace_uses(g, after->out[0], x);
}

static sqz_status shorten(sqz_graph *g, double share, const sqz_student_env *env, sqz_arena *a)
{
    sqz_residual *b;
    uint32_t n;
    SQZ_TRY(sqz_residuals_find(g, a, &b, &n));
    const uint32_t keep = (uint32_t)ceil(SQZ_MAX(share * n - 0.5 - 1e-9, 0));
    bool *go = sqz_arena_alloc(a, (size_t)n + 1, sizeof *go);
    if (!go)
        return SQZ_E_NOMEM;
    if (n == 0)
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED,
                        "no residual block of this model keeps its shape, so none can leave: "
                        "make the student narrower (width=0.5) instead");
    if (keep >= n)
        return sqz_fail(g->ctx, SQZ_E_ARG,
                        "depth=%g leaves all %u residual blocks that keep their shape: at most "
                        "depth=%.2g removes one",
                        share, n, (n - 0.5) / n);
    if (env && env->data)
        SQZ_TRY(sqz_residuals_measure(g, env, b, n));
    pick(b, n, n - keep, go);
    for (uint32_t i = n; i-- > 0;) { /* from the last on: uses of earlier ones are still right */
        sqz_uses u;
        if (!go[i])
            continue;
        SQZ_TRY(sqz_uses_build(g, a, &u));
        join_clamps(g, &u, &b[i], b[i].x);
        sqz_graph_replace_uses(g, b[i].y, b[i].x);
        if (env && env->notes)
            sqz_str_addf(env->notes, "the residual block that ends at '%s' is gone\n",
                         sqz_nod(g, b[i].add)->name);
    }
    return sqz_run_recipe(g, "dce", NULL);
}

sqz_status sqz_student_depth(const sqz_graph *g, double share, const sqz_student_env *env,
                             sqz_graph **out)
{
    sqz_arena a = {.ctx = g->ctx};
    sqz_graph *h;
    *out = NULL;
    if (!(share >= 0 && share < 1))
        return sqz_fail(g->ctx, SQZ_E_ARG, "a depth of %g, expected 0 to 1", share);
    SQZ_TRY(sqz_graph_clone(g, &h));
    sqz_status s = shorten(h, share, env, &a);
    if (s == SQZ_OK)
        s = sqz_graph_verify(h);
    sqz_arena_free(&a);
    if (s != SQZ_OK)
        sqz_graph_free(h);
    else
        *out = h;
    return s;
}
