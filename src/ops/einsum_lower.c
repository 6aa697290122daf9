/* einsum_lower.c: an einsum as operators that are fast and can be quantized. Operands are taken
 * from left to right; for two of them, every index is one of batch (in both and wanted later), K
 * (in both, summed), M (first only), N (second only); (batch,M,K) times (batch,K,N) is a matrix
 * product. Without K it is a product with broadcasting. */
#include "ops/build.h"
#include "ops/einsum.h"
#include <stdio.h>

typedef uint64_t set; /* bit i: index i */
typedef struct part { /* a value and the index of each of its axes */
    sqz_vid v;
    int32_t n;
    uint8_t label[SQZ_MAX_RANK];
} part;
typedef struct work {
    sqz_build b;
    sqz_einsum e;
} work;
typedef struct text {
    char s[256];
} text;

static set bit(uint8_t label) { return (set)1 << label; }

static set labels(const uint8_t *label, int32_t n)
{
    set s = 0;
    for (int32_t i = 0; i < n; i++)
        s |= bit(label[i]);
    return s;
}

static int count(set s) { return __builtin_popcountll(s); }

/* "name=a,b,c": lists of an attribute. */
static text list(const char *name, const int64_t *v, int32_t n)
{
    text t;
    int at = snprintf(t.s, sizeof t.s, "%s", name);
    for (int32_t i = 0; i < n; i++)
        at += snprintf(t.s + at, sizeof t.s - (size_t)at, "%c%lld", i ? ',' : '=', (long long)v[i]);
    return t;
}

/* ---- whether it can be done ---- */

static bool has_type(sqz_dtype d)
{
    return sqz_dtype_is_float(d) || d == SQZ_S32 || d == SQZ_S64 || d == SQZ_U32 || d == SQZ_U64;
}

/* Indices of operand i whose axis is as long as the index runs: a 1 that meets more goes away. */
static set real_labels(const work *w, unsigned i)
{
    const sqz_shape *s = &sqz_val(w->b.im->g, w->b.im->in[i])->shape;
    set out = 0;
    for (int32_t d = 0; d < s->rank; d++)
        if (s->dim[d] == w->e.dim[w->e.label[i][d]])
            out |= bit(w->e.label[i][d]);
    return out;
}

static set later(const work *w, unsigned from)
{
    set out = labels(w->e.out, w->e.out_rank);
    for (unsigned i = from; i < w->e.n_in; i++)
        out |= real_labels(w, i);
    return out;
}

static bool possible(const work *w)
{
    const sqz_graph *g = w->b.im->g;
    set have = real_labels(w, 0);
    for (unsigned i = 0; i < w->e.n_in; i++) {
        const sqz_value *v = sqz_val(g, w->b.im->in[i]);
        if (count(labels(w->e.label[i], w->e.rank[i])) != w->e.rank[i] || !has_type(v->dtype))
            return false;
        for (int32_t d = 0; d < v->shape.rank; d++)
            if (v->shape.dim[d] == 0)
                return false;
    }
    for (unsigned i = 1; i < w->e.n_in; i++) { /* as contract() goes */
        const set b = real_labels(w, i), keep = later(w, i + 1);
        const bool sums = have & b & ~keep;
        if (count((have | b) & keep) > SQZ_MAX_RANK ||
            (sums && count(have & b & keep) + 2 > SQZ_MAX_RANK))
            return false;
        have = (have | b) & keep;
    }
    return true;
}

/* ---- steps ---- */

static void permute(work *w, part *p, const uint8_t *order)
{
    int64_t perm[SQZ_MAX_RANK] = {0};
    bool same = true;
    for (int32_t i = 0; i < p->n; i++)
        for (int32_t k = 0; k < p->n; k++)
            if (p->label[k] == order[i]) {
                perm[i] = k;
                same = same && k == i;
            }
    if (!same)
        p->v = sqz_b(&w->b, "transpose", list("perm", perm, p->n).s, 1, p->v);
    for (int32_t i = 0; i < p->n && i < SQZ_MAX_RANK; i++)
        p->label[i] = order[i];
}

/* Axes whose index is not in `keep` go away by `op` (reduce_sum or squeeze). */
static void drop(work *w, part *p, set keep, const char *op, const char *more)
{
    int64_t axes[SQZ_MAX_RANK];
    char attrs[300];
    int32_t n = 0, left = 0;
    for (int32_t i = 0; i < p->n; i++) {
        if (keep & bit(p->label[i]))
            p->label[left++] = p->label[i];
        else
            axes[n++] = i;
    }
    p->n = left;
    if (n == 0)
        return;
    (void)snprintf(attrs, sizeof attrs, "%s%s", list("axes", axes, n).s, more);
    p->v = sqz_b(&w->b, op, attrs, 1, p->v);
}

static void sum_away(work *w, part *p, set keep) { drop(w, p, keep, "reduce_sum", " keepdims=0"); }

typedef struct order { /* indices in the order of an operand */
    uint8_t label[2 * SQZ_MAX_RANK];
    int32_t n;
} order;

static void append(order *o, const part *p, set which)
{
    for (int32_t i = 0; i < p->n; i++)
        if (which & bit(p->label[i]))
            o->label[o->n++] = p->label[i];
}

/* New axes of length 1, so that the axes are those of `o`. */
static void insert(work *w, part *p, const order *o)
{
    int64_t axes[SQZ_MAX_RANK];
    const set have = labels(p->label, p->n);
    int32_t k = 0;
    for (int32_t i = 0; i < o->n; i++)
        if (!(have & bit(o->label[i])))
            axes[k++] = i;
    if (k)
        p->v = sqz_b(&w->b, "unsqueeze", list("axes", axes, k).s, 1, p->v);
    p->n = o->n;
    for (int32_t i = 0; i < o->n; i++)
        p->label[i] = o->label[i];
}

/* Nothing is summed: a product with broadcasting. */
static part multiply(work *w, part a, part b)
{
    const set in_a = labels(a.label, a.n), in_b = labels(b.label, b.n);
    order all = {.n = 0}, own = {.n = 0};
    append(&all, &a, in_a);
    append(&all, &b, in_b & ~in_a);
    append(&own, &a, in_b);
    append(&own, &b, in_b & ~in_a);
    permute(w, &b, own.label);
    insert(w, &a, &all);
    insert(w, &b, &all);
    a.v = sqz_b(&w->b, "mul", NULL, 2, a.v, b.v);
    return a;
}

/* ---- matrix products ---- */

static int64_t length(const work *w, const part *p, set which)
{
    int64_t n = 1;
    for (int32_t i = 0; i < p->n; i++)
        n *= which & bit(p->label[i]) ? w->e.dim[p->label[i]] : 1;
    return n;
}

/* To `copied` leading axes as they are (0 in the target: an open batch stays open), then the n
 * given ones. */
static sqz_vid reshape(work *w, sqz_vid v, int32_t copied, const int64_t *more, int32_t n)
{
    int64_t shape[2 * SQZ_MAX_RANK] = {0};
    for (int32_t i = 0; i < n; i++)
        shape[copied + i] = more[i];
    return sqz_b(&w->b, "reshape", copied + n ? list("shape", shape, copied + n).s : "", 1, v);
}

typedef struct roles {
    set batch, k, m, n;
    int32_t nb, nk, nm, nn;
} roles;

/* (batch,M,K); without a batch M stays as many axes as it is. */
static void left(work *w, part *a, const roles *r)
{
    const int64_t k = length(w, a, r->k), rows_columns[2] = {-1, k};
    order o = {.n = 0};
    append(&o, a, r->batch);
    append(&o, a, r->m);
    append(&o, a, r->k);
    permute(w, a, o.label);
    if (!r->nb && r->nk != 1)
        a->v = reshape(w, a->v, r->nm, &k, 1);
    else if (r->nb && (r->nm != 1 || r->nk != 1))
        a->v = reshape(w, a->v, r->nb, rows_columns, 2);
}

/* (batch,K,N), batch and K in the order of the left operand `a`; without batch and N: (K). */
static void right(work *w, part *b, const part *a, const roles *r)
{
    const int64_t rows_columns[2] = {length(w, b, r->k), -1};
    const bool vector = !r->nb && r->nn == 0;
    order o = {.n = 0};
    append(&o, a, r->batch);
    append(&o, a, r->k);
    append(&o, b, r->n);
    permute(w, b, o.label);
    if (r->nk != 1 || (!vector && r->nn != 1))
        b->v = reshape(w, b->v, r->nb, rows_columns, vector ? 1 : 2);
}

/* What is summed now is in both, and in nothing that comes later. */
static part contract(work *w, part a, part b, set keep)
{
    const set in_a = labels(a.label, a.n), in_b = labels(b.label, b.n);
    const roles r = {.batch = in_a & in_b & keep,
                     .k = in_a & in_b & ~keep,
                     .m = in_a & ~in_b,
                     .n = in_b & ~in_a,
                     .nb = count(in_a & in_b & keep),
                     .nk = count(in_a & in_b & ~keep),
                     .nm = count(in_a & ~in_b),
                     .nn = count(in_b & ~in_a)};
    int64_t back[SQZ_MAX_RANK] = {0};
    order all = {.n = 0};
    if (!r.k)
        return multiply(w, a, b);
    append(&all, &a, r.batch);
    append(&all, &a, r.m);
    append(&all, &b, r.n);
    left(w, &a, &r);
    right(w, &b, &a, &r);
    part y = {.v = sqz_b(&w->b, "matmul", NULL, 2, a.v, b.v), .n = all.n};
    for (int32_t i = 0; i < all.n; i++) {
        y.label[i] = all.label[i];
        back[i] = w->e.dim[all.label[i]];
    }
    const int32_t copied = r.nb ? r.nb : r.nm;
    if (r.nb ? r.nm != 1 || r.nn != 1 : r.nn > 1)
        y.v = reshape(w, y.v, copied, back + copied, all.n - copied);
    return y;
}

/* ---- the whole ---- */

static part take(work *w, unsigned i)
{
    part p = {.v = w->b.im->in[i], .n = w->e.rank[i]};
    for (int32_t d = 0; d < p.n; d++)
        p.label[d] = w->e.label[i][d];
    drop(w, &p, real_labels(w, i), "squeeze", "");
    return p;
}

/* Weights go to the right, where they may become integers. */
static bool turned(const work *w, const part *a, const part *b)
{
    const sqz_value *x = sqz_b_val(&w->b, a->v), *y = sqz_b_val(&w->b, b->v);
    return x && y && x->constant && !y->constant;
}

static sqz_status lower(work *w)
{
    const set out = labels(w->e.out, w->e.out_rank);
    const sqz_vid before = w->b.im->in[0];
    part y = take(w, 0);
    for (unsigned i = 1; i < w->e.n_in; i++) {
        const set keep = later(w, i + 1);
        part x = take(w, i);
        const set in_y = labels(y.label, y.n), in_x = labels(x.label, x.n);
        sum_away(w, &y, keep | in_x);
        sum_away(w, &x, keep | in_y);
        y = turned(w, &y, &x) ? contract(w, x, y, keep) : contract(w, y, x, keep);
    }
    sum_away(w, &y, out);
    permute(w, &y, w->e.out);
    if (y.v == before)
        y.v = sqz_b(&w->b, "identity", NULL, 1, y.v);
    return sqz_b_end(&w->b, 1, y.v);
}

sqz_status sqz_einsum_lower(sqz_import *im, const char *equation, bool *done)
{
    const sqz_shape *shape[SQZ_EINSUM_IN] = {NULL};
    work w = {.b = {.im = im}};
    *done = false;
    for (unsigned i = 0; i < im->n_in && i < SQZ_EINSUM_IN; i++) {
        if (im->in[i] == SQZ_NONE)
            return SQZ_OK; /* inference says it */
        shape[i] = &sqz_val(im->g, im->in[i])->shape;
    }
    SQZ_TRY(sqz_einsum_parse(im->g->ctx, equation, shape, im->n_in, &w.e));
    if (!possible(&w))
        return SQZ_OK;
    *done = true;
    return lower(&w);
}
