/* ties.c: rows that operators share. */
#include "ops/ties.h"

static void tie_broadcast(sqz_ties *t, int32_t value, const sqz_shape *s)
{
    const sqz_shape *y = &t->out[0]->shape;
    for (int32_t i = 0; i < s->rank; i++) {
        const int32_t axis = y->rank - s->rank + i;
        if (s->dim[i] == y->dim[axis])
            sqz_tie_same(t, (sqz_tie_end){.value = value, .axis = i}, SQZ_TIE_OUT(0, axis));
    }
}

void sqz_ties_elementwise(sqz_ties *t)
{
    for (unsigned k = 0; k < t->n_in; k++)
        if (t->in[k] && t->in[k]->shape.rank <= t->out[0]->shape.rank)
            tie_broadcast(t, (int32_t)k, &t->in[k]->shape);
}

void sqz_ties_axes(sqz_ties *t, unsigned k, uint32_t but)
{
    const sqz_shape *x = &t->in[0]->shape, *y = &t->out[k]->shape;
    for (int32_t i = 0; i < x->rank && i < y->rank; i++)
        if (!(but >> i & 1) && x->dim[i] == y->dim[i])
            sqz_tie_same(t, SQZ_TIE_IN(0, i), SQZ_TIE_OUT(k, i));
}

void sqz_ties_channels(sqz_ties *t)
{
    const sqz_value *x = t->in[0];
    for (unsigned k = 0; k < t->n_out; k++)
        if (t->out[k] && t->out[k]->shape.rank == x->shape.rank)
            sqz_ties_axes(t, k, ~(1u | 1u << sqz_axis_c(x)));
}

void sqz_ties_params(sqz_ties *t)
{
    const sqz_shape *x = &t->in[0]->shape;
    for (unsigned k = 1; k < t->n_in; k++) {
        const sqz_shape *s = t->in[k] ? &t->in[k]->shape : NULL;
        for (int32_t i = 0; s && i < s->rank && s->rank <= x->rank; i++)
            if (s->dim[i] == x->dim[x->rank - s->rank + i])
                sqz_tie_same(t, SQZ_TIE_IN(k, i), SQZ_TIE_IN(0, x->rank - s->rank + i));
    }
}

void sqz_ties_conv(sqz_ties *t, int64_t group, bool turned)
{
    const sqz_value *x = t->in[0], *w = t->in[1];
    const int32_t inner = sqz_axis_c(w), c = sqz_axis_c(x), last = sqz_axis_c(t->out[0]);
    const sqz_tie_end in = SQZ_TIE_IN(0, c), out = SQZ_TIE_OUT(0, last);
    /* In w, axis 0 has the channels of all groups, `inner` those of one: every group loses the
     * same place. */
    const sqz_tie_end all = SQZ_TIE_IN(1, 0), one = SQZ_TIE_IN(1, inner);
    sqz_tie_same(t, SQZ_TIE_IN(0, 0), SQZ_TIE_OUT(0, 0));
    t->row(t, turned ? &in : &out, &all, 0);
    t->row(t, turned ? &out : &in, &one, w->shape.dim[inner]);
    if (group > 1)
        t->row(t, &all, NULL, w->shape.dim[0] / group);
    if (t->n_in > 2 && t->in[2])
        sqz_tie_same(t, SQZ_TIE_IN(2, 0), out);
}

/* ---- views ----
 * Both shapes are products of the same number. Cut at every place where either has a border, it
 * falls into factors; each axis is a run of factors. Where the borders do not divide each other the
 * piece has no common factors, and its axes are not mentioned. */

#define MAX_FACTOR (2 * SQZ_MAX_RANK)
typedef struct factor {
    int64_t n, in_div, out_div; /* its index: i / div % n */
    int32_t in, out;            /* axes */
} factor;

/* Steps of the axes in elements, from the last one. */
static void steps_of(const sqz_shape *s, int64_t *step)
{
    int64_t at = 1; /* the product of all dimensions is checked: the value exists */
    for (int32_t i = s->rank - 1; i >= 0; i--) {
        step[i] = at;
        at *= s->dim[i];
    }
}

static bool empty(const sqz_shape *s)
{
    for (int32_t i = 0; i < s->rank; i++)
        if (s->dim[i] == 0)
            return true;
    return false;
}

/* Factors from the last to the first; returns how many. */
static unsigned factors(const sqz_shape *x, const sqz_shape *y, factor *f)
{
    int64_t sx[SQZ_MAX_RANK], sy[SQZ_MAX_RANK], at = 1;
    int32_t i = x->rank - 1, k = y->rank - 1;
    unsigned n = 0;
    steps_of(x, sx);
    steps_of(y, sy);
    if (empty(x) || empty(y))
        return 0;
    while (i >= 0 && k >= 0) {
        const int64_t end_x = sx[i] * x->dim[i], end_y = sy[k] * y->dim[k];
        const int64_t end = SQZ_MIN(end_x, end_y);
        const bool common = end % at == 0 && at % sx[i] == 0 && at % sy[k] == 0;
        if (end > at && common && end_x % end == 0 && end_y % end == 0)
            f[n++] = (factor){end / at, at / sx[i], at / sy[k], i, k};
        at = end;
        i -= end == end_x;
        k -= end == end_y;
    }
    return n;
}

/* A factor may be an axis of channels where neither axis that it is in is all pinned. */
static bool lives(const sqz_ties *t, const factor *f)
{
    const sqz_tie_end a = SQZ_TIE_IN(0, f->in), b = SQZ_TIE_OUT(0, f->out);
    return f->n > 1 && !t->fixed(t, &a) && !t->fixed(t, &b);
}

static bool shares_axis(const factor *a, const factor *b)
{
    return a->in == b->in || a->out == b->out;
}

void sqz_ties_view(sqz_ties *t)
{
    const sqz_shape *x = &t->in[0]->shape, *y = &t->out[0]->shape;
    factor f[MAX_FACTOR];
    bool take[MAX_FACTOR] = {false};
    unsigned n = 0, all = factors(x, y, f);
    for (unsigned i = 0; i < all; i++)
        if (lives(t, &f[i]))
            f[n++] = f[i];
    for (unsigned i = n; i-- > 0;) { /* the outermost first: heads rather than what is in them */
        take[i] = true;
        for (unsigned k = i + 1; k < n; k++)
            take[i] = take[i] && !(take[k] && shares_axis(&f[i], &f[k]));
        t->open = t->open || (!take[i] && !t->choose);
    }
    for (unsigned i = 0; i < n && !t->open; i++) {
        const sqz_tie_end a = {.value = 0, .axis = f[i].in, .div = f[i].in_div};
        const sqz_tie_end b = {.value = -1, .axis = f[i].out, .div = f[i].out_div};
        if (take[i])
            t->row(t, &a, &b, f[i].n);
    }
}
