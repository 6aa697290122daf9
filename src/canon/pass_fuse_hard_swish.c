/* pass_fuse_hard_swish.c: hard-swish as exporters without the operator write it,
 *     x * min(max(x + 3, 0), 6) / 6
 * with the division anywhere, or x * hard_sigmoid(x), becomes one node. On integers that is one
 * table where the parts would be three roundings, of numbers up to 6 x. */
#include "canon/match.h"
#include "ir/pass.h"

#define PART 1e-4 /* 1/6 is written as 0.16667 by some */

/* v / 6 in one of its spellings: v; SQZ_NONE: it is not. */
static sqz_vid sixth_of(const sqz_graph *g, const sqz_node *n)
{
    const sqz_vid v = sqz_match_beside(g, n, "div", 6, 0);
    return v != SQZ_NONE ? v : sqz_match_beside(g, n, "mul", 1.0 / 6, PART);
}

/* clip(x + 3, 0, 6): x. */
static sqz_vid raised(const sqz_graph *g, const sqz_node *n)
{
    if (!sqz_match_op(n, "clip") || sqz_match_attr(n, "min") != 0 || sqz_match_attr(n, "max") != 6)
        return SQZ_NONE;
    const sqz_node *plus = sqz_match_maker(g, n->in[0]);
    return plus ? sqz_match_beside(g, plus, "add", 3, 0) : SQZ_NONE;
}

/* What v is of x: *times 6: clip(x + 3, 0, 6); 1: a sixth of that. SQZ_NONE: something else. */
static sqz_vid gate(const sqz_graph *g, sqz_vid v, int *times)
{
    const sqz_node *n = sqz_match_maker(g, v);
    *times = 6;
    if (!n)
        return SQZ_NONE;
    sqz_vid x = raised(g, n);
    if (x != SQZ_NONE)
        return x;
    *times = 1;
    if (sqz_match_op(n, "hard_sigmoid"))
        return fabs(sqz_match_attr(n, "alpha") - 1.0 / 6) < PART / 6 &&
                       sqz_match_attr(n, "beta") == 0.5
                   ? n->in[0]
                   : SQZ_NONE;
    const sqz_vid six = sixth_of(g, n);
    const sqz_node *clip = six == SQZ_NONE ? NULL : sqz_match_maker(g, six);
    return clip ? raised(g, clip) : SQZ_NONE;
}

/* The last node of the pattern whose product is n, whose numbers come from x. SQZ_NONE: none. */
static sqz_nid last_of(const sqz_matcher *m, sqz_nid id, sqz_vid *x)
{
    const sqz_graph *g = m->g;
    const sqz_node *n = sqz_nod(g, id);
    if (!sqz_match_op(n, "mul") || n->n_in != 2)
        return SQZ_NONE;
    for (int k = 0; k < 2; k++) {
        int times;
        const sqz_vid of = n->in[1 - k];
        *x = gate(g, n->in[k], &times);
        if (*x == SQZ_NONE)
            continue;
        const sqz_node *maker = sqz_match_maker(g, of);
        if (of == *x && times == 1)
            return id;
        if (times == 6 && maker && sixth_of(g, maker) == *x)
            return id;
        if (of != *x)
            continue;
        const sqz_nid next = sqz_match_reader(m, n->out[0]);
        if (next != SQZ_NONE && sixth_of(g, sqz_nod(g, next)) == n->out[0])
            return next;
    }
    return SQZ_NONE;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    (void)opts;
    (void)env;
    sqz_arena a = {.ctx = g->ctx};
    sqz_matcher m = {.g = g};
    sqz_status s = sqz_uses_build(g, &a, &m.uses);
    for (sqz_nid id = 0; id < g->n_node && s == SQZ_OK; id++) {
        sqz_vid x;
        const sqz_nid last = sqz_nod(g, id)->dead ? SQZ_NONE : last_of(&m, id, &x);
        if (last != SQZ_NONE)
            s = sqz_match_become(&m, last, "hard_swish", x);
    }
    sqz_arena_free(&a);
    return s;
}

const sqz_pass sqz_pass_fuse_hard_swish = {
    .info = {.name = "fuse_hard_swish", .doc = "x * clip(x + 3, 0, 6) / 6 as one operator"},
    .exact = true,
    .run = run,
};
