/* ptq_grids.c: which values share a grid, and what it is.
 *
 * Operators that hand numbers on (SAME) tie their inputs and outputs together; the tied sets are
 * found with union-find. A set's range is the union of the ranges of its members, except of those
 * that only feed a clamp: what the clamp cuts off need not be on the grid, so the producer's own
 * saturation does the clamping and the clamp becomes the identity.
 *
 * A fixed grid (softmax) is the set's when all that enters the set has it. Else the fixed value
 * stands apart, and a requantize node brings it to the set. */
#include "quant/ptq.h"
#include <math.h>

typedef struct sets {
    sqz_vid *parent;
    sqz_range *range; /* by root */
    bool *filled;     /* by root: range holds something */
    sqz_grid *fixed;  /* by root: scale 0: none, -1: several different */
    bool *mixed;      /* by root: something without that fixed grid enters */
} sets;

static sqz_vid root(sqz_vid *parent, sqz_vid v)
{
    while (parent[v] != v)
        v = parent[v] = parent[parent[v]];
    return v;
}

/* The smaller id stays root, so that results do not depend on the order of ties. */
static void unite(sqz_vid *parent, sqz_vid a, sqz_vid b)
{
    a = root(parent, a);
    b = root(parent, b);
    parent[SQZ_MAX(a, b)] = SQZ_MIN(a, b);
}

static bool is_fixed(const sqz_op *op) { return op->quant.kind == SQZ_Q_FIXED; }

bool sqz_ptq_absorbs(const sqz_ptq *p, const sqz_node *n)
{
    sqz_vid x = n->in[0];
    sqz_nid maker = sqz_val(p->g, x)->producer;
    return n->op->traits & SQZ_T_RELU_LIKE && n->op->quant.kind == SQZ_Q_LUT &&
           sqz_n_uses(&p->uses, x) == 1 &&
           !(maker != SQZ_NONE && p->integer[maker] && is_fixed(sqz_nod(p->g, maker)->op));
}

bool sqz_ptq_is_tied(const sqz_ptq *p, const sqz_node *n)
{
    return n->op->quant.kind == SQZ_Q_SAME || sqz_ptq_absorbs(p, n);
}

static void unite_all(const sqz_ptq *p, sets *s)
{
    for (sqz_vid v = 0; v < p->n_value; v++)
        s->parent[v] = v;
    SQZ_EACH_NODE(p->g, id)
    {
        const sqz_node *n = sqz_nod(p->g, id);
        if (!p->integer[id] || !sqz_ptq_is_tied(p, n))
            continue;
        for (unsigned k = 0; k < n->n_out; k++)
            unite(s->parent, n->out[0], n->out[k]);
        for (unsigned i = 0; i < n->n_in; i++) /* constants are made anew for each node */
            if (sqz_ptq_is_data(p->g, n, i) && !sqz_ptq_is_constant(p->g, n->in[i]))
                unite(s->parent, n->out[0], n->in[i]);
    }
}

/* ---- values that only feed a clamp ---- */

static bool all_covered(const sqz_ptq *p, const sqz_node *n)
{
    for (unsigned k = 0; k < n->n_out; k++)
        if (!p->covered[n->out[k]])
            return false;
    return true;
}

/* From the last node to the first: moving and taking maxima commute with clamping. */
static void cover(const sqz_ptq *p)
{
    for (sqz_nid id = p->g->last; id != SQZ_NONE; id = sqz_nod(p->g, id)->prev) {
        const sqz_node *n = sqz_nod(p->g, id);
        if (!p->integer[id] || !sqz_ptq_is_tied(p, n))
            continue;
        if (!sqz_ptq_absorbs(p, n) && !all_covered(p, n))
            continue;
        for (unsigned i = 0; i < n->n_in; i++)
            if (sqz_ptq_is_data(p->g, n, i) && sqz_n_uses(&p->uses, n->in[i]) == 1)
                p->covered[n->in[i]] = true;
    }
}

/* ---- ranges ---- */

static void widen(sets *s, sqz_vid r, sqz_range by)
{
    if (!s->filled[r])
        s->range[r] = by;
    s->filled[r] = true;
    s->range[r].lo = fminf(s->range[r].lo, by.lo);
    s->range[r].hi = fmaxf(s->range[r].hi, by.hi);
}

/* That of int8, as fine as the type allows. */
static sqz_grid fixed_grid(const sqz_ptq *p, const sqz_op *op)
{
    const float fine = ldexpf(1.0f, (int)sqz_dtype_bits(p->type) - 8);
    return (sqz_grid){op->quant.fixed_scale / fine, (int32_t)((float)op->quant.fixed_zero * fine)};
}

static sqz_range range_of(const sqz_ptq *p, sqz_vid v)
{
    const float limit = -1e30f;
    if (!p->range[v]) { /* the plan lets only fixed grids through without one */
        sqz_grid f = fixed_grid(p, sqz_nod(p->g, sqz_val(p->g, v)->producer)->op);
        return (sqz_range){f.scale * (float)(p->lo - f.zero), f.scale * (float)(p->hi - f.zero)};
    }
    sqz_range r = *p->range[v];
    if (!(r.lo < limit))
        return r;
    r.lo = fminf(r.hi, 0.0f);
    sqz_ptq_note(p, "value '%s': its range begins below -1e30 (a mask?); cut to %g",
                 sqz_val(p->g, v)->name, (double)r.lo);
    return r;
}

/* What enters a set: the outputs of nodes that are not tied, and what float nodes made. */
static void enter(const sqz_ptq *p, sets *s, sqz_vid v)
{
    sqz_vid r = root(s->parent, v);
    sqz_nid maker = sqz_val(p->g, v)->producer;
    bool made = maker != SQZ_NONE && p->integer[maker];
    if (made && sqz_ptq_is_tied(p, sqz_nod(p->g, maker)))
        return; /* goes round inside the set */
    float scale = made ? sqz_nod(p->g, maker)->op->quant.fixed_scale : 0.0f;
    if (scale == 0.0f) {
        s->mixed[r] = true;
        return;
    }
    sqz_grid fixed = fixed_grid(p, sqz_nod(p->g, maker)->op);
    if (s->fixed[r].scale == 0.0f)
        s->fixed[r] = fixed;
    else if (s->fixed[r].scale != fixed.scale || s->fixed[r].zero != fixed.zero)
        s->mixed[r] = true;
}

/* Values with an int8 form: made by integer nodes, or data of one. */
static void mark_used(const sqz_ptq *p, bool *used)
{
    SQZ_EACH_NODE(p->g, id)
    {
        const sqz_node *n = sqz_nod(p->g, id);
        if (!p->integer[id])
            continue;
        for (unsigned i = 0; i < n->n_in; i++)
            if (sqz_ptq_is_data(p->g, n, i) && !sqz_ptq_is_constant(p->g, n->in[i]))
                used[n->in[i]] = true;
        for (unsigned k = 0; k < n->n_out; k++)
            used[n->out[k]] = true;
    }
}

/* Constants among tied inputs (concat with a constant) widen the set. */
static sqz_status add_constants(const sqz_ptq *p, sets *s)
{
    SQZ_EACH_NODE(p->g, id)
    {
        const sqz_node *n = sqz_nod(p->g, id);
        if (!p->integer[id] || !sqz_ptq_is_tied(p, n))
            continue;
        for (unsigned i = 0; i < n->n_in; i++) {
            sqz_range r;
            size_t masked;
            if (!sqz_ptq_is_data(p->g, n, i) || !sqz_ptq_is_constant(p->g, n->in[i]))
                continue;
            SQZ_TRY(sqz_ptq_constant_range(p, n->in[i], &r, &masked));
            widen(s, root(s->parent, n->out[0]), r);
            s->mixed[root(s->parent, n->out[0])] = true;
        }
    }
    return SQZ_OK;
}

/* ---- grids ---- */

bool sqz_ptq_grid_of(const sqz_ptq *p, sqz_range r, sqz_grid *g)
{
    const sqz_qspec spec = {
        .lo = p->lo, .hi = p->hi, .symmetric = p->o->symmetric != 0, .pow2 = p->o->pow2 != 0};
    return sqz_qparams(&spec, r, &g->scale, &g->zero);
}

static void set_grid(sqz_ptq *p, sets *s, sqz_vid v)
{
    sqz_vid r = root(s->parent, v);
    bool degenerate;
    if (s->fixed[r].scale != 0.0f && !s->mixed[r]) {
        p->grid[r] = s->fixed[r];
        return;
    }
    degenerate = !sqz_ptq_grid_of(p, s->range[r], &p->grid[r]);
    if (degenerate)
        sqz_ptq_note(p, "value '%s': its range %g .. %g has no extent; scale 1 is used",
                     sqz_val(p->g, v)->name, (double)s->range[r].lo, (double)s->range[r].hi);
}

/* Softmax into a set with another grid keeps its own. */
static void keep_fixed_apart(sqz_ptq *p, sqz_vid v)
{
    sqz_nid maker = sqz_val(p->g, v)->producer;
    if (maker == SQZ_NONE || !p->integer[maker] || !is_fixed(sqz_nod(p->g, maker)->op))
        return;
    sqz_grid own = fixed_grid(p, sqz_nod(p->g, maker)->op), set = p->grid[v];
    if (own.scale == set.scale && own.zero == set.zero)
        return;
    p->fixed_apart[v] = true;
    p->set_grid[v] = set;
    p->grid[v] = own;
}

static sqz_status make_sets(const sqz_ptq *p, sets *s)
{
    size_t n = p->n_value + 1u;
    s->parent = sqz_arena_alloc(p->a, n, sizeof *s->parent);
    s->range = sqz_arena_alloc(p->a, n, sizeof *s->range);
    s->filled = sqz_arena_alloc(p->a, n, sizeof *s->filled);
    s->fixed = sqz_arena_alloc(p->a, n, sizeof *s->fixed);
    s->mixed = sqz_arena_alloc(p->a, n, sizeof *s->mixed);
    return s->parent && s->range && s->filled && s->fixed && s->mixed ? SQZ_OK : SQZ_E_NOMEM;
}

sqz_status sqz_ptq_grids(sqz_ptq *p)
{
    sets s;
    bool *used = sqz_arena_alloc(p->a, p->n_value + 1u, sizeof *used);
    if (!used)
        return SQZ_E_NOMEM;
    SQZ_TRY(make_sets(p, &s));
    unite_all(p, &s);
    cover(p);
    mark_used(p, used);
    for (sqz_vid v = 0; v < p->n_value; v++) {
        if (!used[v])
            continue;
        enter(p, &s, v);
        if (!p->covered[v])
            widen(&s, root(s.parent, v), range_of(p, v));
    }
    SQZ_TRY(add_constants(p, &s));
    for (sqz_vid v = 0; v < p->n_value; v++) /* a root is not after its members */
        if (used[v] && p->grid[root(s.parent, v)].scale == 0.0f)
            set_grid(p, &s, v);
    for (sqz_vid v = p->n_value; v-- > 0;)
        if (used[v])
            p->grid[v] = p->grid[root(s.parent, v)];
    for (sqz_vid v = 0; v < p->n_value; v++)
        if (used[v])
            keep_fixed_apart(p, v);
    return SQZ_OK;
}
