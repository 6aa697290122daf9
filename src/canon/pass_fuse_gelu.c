/* pass_fuse_gelu.c: gelu as exporters without the operator write it,
 *     x * (erf(x / sqrt(2)) + 1) * 0.5
 * with factors and terms in any order, becomes one node. On integers that is one table where the
 * parts would be five roundings. */
#include "canon/match.h"
#include "ir/pass.h"

/* n is op(a, constant of about `want`): a; within rounding, also that of a half-precision file. */
static sqz_vid beside(const sqz_graph *g, const sqz_node *n, const char *op, double want)
{
    return sqz_match_beside(g, n, op, want, want == 1 || want == 0.5 || want == 2 ? 0 : 1e-6);
}

static sqz_vid maker_input(const sqz_graph *g, sqz_vid v, const char *op, double want)
{
    const sqz_nid p = sqz_val(g, v)->producer;
    return p == SQZ_NONE ? SQZ_NONE : beside(g, sqz_nod(g, p), op, want);
}

static sqz_vid half_of(const sqz_graph *g, const sqz_node *n)
{
    const sqz_vid v = beside(g, n, "mul", 0.5);
    return v != SQZ_NONE ? v : beside(g, n, "div", 2);
}

static sqz_vid other(const sqz_node *n, sqz_vid v) { return n->in[n->in[0] == v ? 1 : 0]; }

/* The last node of the pattern around the erf node, whose numbers come from x. SQZ_NONE: none. */
static sqz_nid last_of(const sqz_matcher *m, const sqz_node *e, sqz_vid *x)
{
    const sqz_graph *g = m->g;
    *x = maker_input(g, e->in[0], "div", sqrt(2));
    if (*x == SQZ_NONE)
        *x = maker_input(g, e->in[0], "mul", sqrt(0.5));
    const sqz_nid plus = sqz_match_reader(m, e->out[0]);
    if (*x == SQZ_NONE || plus == SQZ_NONE || beside(g, sqz_nod(g, plus), "add", 1) == SQZ_NONE)
        return SQZ_NONE;
    bool halved = false, times = false;
    sqz_nid last = plus;
    for (int i = 0; i < 2 && !(halved && times); i++) { /* times x, times 0.5, or both at once */
        const sqz_vid v = sqz_nod(g, last)->out[0];
        const sqz_nid next = sqz_match_reader(m, v);
        const sqz_node *n = next == SQZ_NONE ? NULL : sqz_nod(g, next);
        if (!n || n->n_in != 2)
            return SQZ_NONE;
        const sqz_nid from = sqz_match_op(n, "mul") ? sqz_val(g, other(n, v))->producer : SQZ_NONE;
        if (!halved && half_of(g, n) == v)
            halved = true;
        else if (!times && sqz_match_op(n, "mul") && other(n, v) == *x)
            times = true;
        else if (!halved && !times && from != SQZ_NONE && half_of(g, sqz_nod(g, from)) == *x)
            halved = times = true;
        else
            return SQZ_NONE;
        last = next;
    }
    return halved && times ? last : SQZ_NONE;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    (void)opts;
    (void)env;
    sqz_arena a = {.ctx = g->ctx};
    sqz_matcher m = {.g = g};
    sqz_status s = sqz_uses_build(g, &a, &m.uses);
    for (sqz_nid id = 0; id < g->n_node && s == SQZ_OK; id++) {
        const sqz_node *n = sqz_nod(g, id);
        sqz_vid x;
        if (n->dead || !sqz_match_op(n, "erf"))
            continue;
        const sqz_nid last = last_of(&m, n, &x);
        if (last != SQZ_NONE)
            s = sqz_match_become(&m, last, "gelu", x);
    }
    sqz_arena_free(&a);
    return s;
}

const sqz_pass sqz_pass_fuse_gelu = {
    .info = {.name = "fuse_gelu", .doc = "x * (erf(x / sqrt(2)) + 1) / 2 as one operator"},
    .exact = true,
    .run = run,
};
