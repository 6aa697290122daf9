/* scaling_apply.c: factors of classes go into weights, biases and other constants, in double, each
 * number rounded once. */
#include "quant/scaling.h"
#include <math.h>
#include <string.h>

/* ---- constants of a node ---- */

static bool used_elsewhere(const sqz_graph *g, sqz_vid v, sqz_nid node, unsigned slot)
{
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        for (unsigned i = 0; i < n->n_in; i++)
            if (n->in[i] == v && !(id == node && i == slot))
                return true;
    }
    for (uint32_t i = 0; i < g->n_output; i++)
        if (g->output[i] == v)
            return true;
    for (sqz_vid k = 0; k < g->n_value; k++) /* a copy in the other layout */
        if (!sqz_value_dead(sqz_val(g, k)) && (sqz_val(g, k)->twin == v))
            return true;
    return sqz_val(g, v)->twin != SQZ_NONE;
}

sqz_status sqz_put_operand(sqz_graph *g, sqz_nid node, unsigned slot, sqz_tensor *t)
{
    const sqz_vid v = sqz_nod(g, node)->in[slot];
    const bool last = sqz_val(g, v)->channel_last && t->shape.rank >= 3;
    if (!used_elsewhere(g, v, node, slot)) {
        SQZ_TRY(sqz_value_set_constant(g, v, t));
        sqz_val(g, v)->channel_last = last;
        return SQZ_OK;
    }
    sqz_vid own;
    SQZ_TRY(sqz_graph_constant(g, sqz_val(g, v)->name, t, &own));
    sqz_val(g, own)->channel_last = last;
    sqz_nod(g, node)->in[slot] = own;
    return SQZ_OK;
}

sqz_status sqz_need_bias(sqz_graph *g, sqz_scaled *l)
{
    enum { SLOT = 2 };
    sqz_node *n = sqz_nod(g, l->node);
    const sqz_shape s = {1, {(int64_t)l->outs}};
    sqz_tensor t;
    if (l->b != SQZ_NONE)
        return SQZ_OK;
    if (n->n_in <= SLOT) {
        sqz_vid *in = sqz_arena_alloc(&g->arena, SLOT + 1, sizeof *in);
        if (!in)
            return SQZ_E_NOMEM;
        memcpy(in, n->in, n->n_in * sizeof *in);
        n->in = in;
        n->n_in = SLOT + 1;
        n->in[SLOT] = SQZ_NONE;
    }
    char *name = sqz_arena_printf(&g->arena, "%s_bias", n->name);
    if (!name)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_tensor_alloc(g->ctx, SQZ_F32, &s, &t));
    SQZ_TRY(sqz_graph_constant(g, name, &t, &l->b));
    sqz_nod(g, l->node)->in[SLOT] = l->b;
    return SQZ_OK;
}

/* ---- linear nodes ---- */

void sqz_scaled_at(const sqz_scaled *l, size_t e, size_t *out, size_t *col)
{
    if (l->form == SQZ_W_ROWS) {
        *out = e / (l->taps * l->cols);
        *col = e % l->cols;
    } else if (l->form == SQZ_W_COLUMNS) {
        *out = e % l->outs;
        *col = e / l->outs;
    } else {
        const size_t in = e / (l->taps * l->share);
        *out = in / l->cols * l->share + e % l->share;
        *col = in % l->cols;
    }
}

static double factor(const sqz_scaling *k, uint32_t channel)
{
    const uint32_t c = sqz_channel_free(k, channel);
    return c == SQZ_NONE ? 1 : k->s[c];
}

static bool all_one(const sqz_scaling *k, const uint32_t *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (factor(k, list[i]) != 1)
            return false;
    return true;
}

/* w(o, i) s(i) / s(o), b(o) / s(o) */
static sqz_status apply_linear(sqz_scaling *k, sqz_scaled *l)
{
    sqz_graph *g = k->g;
    const bool out_one = all_one(k, l->out, l->outs);
    sqz_tensor t;
    if (out_one && all_one(k, l->in, l->ins))
        return SQZ_OK;
    const sqz_tensor *w = sqz_val(g, l->w)->constant;
    SQZ_TRY(sqz_tensor_room(g->ctx, SQZ_F32, &w->shape, &t));
    for (size_t e = 0; e < t.count; e++) {
        size_t o, c;
        sqz_scaled_at(l, e, &o, &c);
        SQZ_F32P(&t)
        [e] = (float)((double)SQZ_F32P(w)[e] * factor(k, l->in[sqz_scaled_input(l, o, c)]) /
                      factor(k, l->out[o]));
    }
    SQZ_TRY(sqz_put_operand(g, l->node, 1, &t));
    l->w = sqz_nod(g, l->node)->in[1];
    if (l->b == SQZ_NONE || out_one)
        return SQZ_OK;
    const sqz_tensor *b = sqz_val(g, l->b)->constant;
    SQZ_TRY(sqz_tensor_room(g->ctx, SQZ_F32, &b->shape, &t));
    for (size_t o = 0; o < l->outs; o++)
        SQZ_F32P(&t)[o] = (float)((double)SQZ_F32P(b)[o] / factor(k, l->out[o]));
    SQZ_TRY(sqz_put_operand(g, l->node, 2, &t));
    l->b = sqz_nod(g, l->node)->in[2];
    return SQZ_OK;
}

/* ---- other constants ---- */

static double factor_at(const sqz_scaling *k, const sqz_channel_map *m, size_t e)
{
    return m->n ? factor(k, sqz_channel_of(m, e)) : 1;
}

static bool map_is_one(const sqz_scaling *k, const sqz_channel_map *m, const sqz_shape *y)
{
    size_t n = 1;
    for (int32_t a = 0; a < y->rank; a++)
        n *= (size_t)y->dim[a];
    for (size_t e = 0; e < n && m->n; e++)
        if (factor_at(k, m, e) != 1)
            return false;
    return true;
}

/* Axes of y in which the operand must have its full size: those that a map names. */
static bool wide_shape(const sqz_scaled_constant *c, const sqz_shape *old, sqz_shape *wide)
{
    const sqz_channel_map *map[2] = {&c->in, &c->out};
    wide->rank = old->rank;
    bool need[SQZ_MAX_RANK] = {false};
    for (int i = 0; i < 2; i++) {
        sqz_axis_digit d[SQZ_DIGITS];
        unsigned n;
        if (!sqz_map_split(map[i], &c->y, d, &n))
            return false;
        for (unsigned j = 0; j < n; j++) {
            need[d[j].axis] = true;
            wide->rank = SQZ_MAX(wide->rank, c->y.rank - d[j].axis);
        }
    }
    for (int32_t a = 0; a < wide->rank; a++) {
        const int32_t from = a - (wide->rank - old->rank), at = a + c->y.rank - wide->rank;
        wide->dim[a] = need[at] ? c->y.dim[at] : from < 0 ? 1 : old->dim[from];
    }
    return true;
}

/* Offset in a tensor of shape s, right-aligned with y, of the element of y at index[]. */
static size_t offset_in(const sqz_shape *s, const sqz_shape *y, const int64_t *index)
{
    size_t at = 0;
    for (int32_t a = 0; a < s->rank; a++)
        at = at * (size_t)s->dim[a] + (s->dim[a] == 1 ? 0 : (size_t)index[a + y->rank - s->rank]);
    return at;
}

/* Element i of the wide constant, as an index of y (0 along axes that it lacks) and flat in y. */
static size_t index_of(const sqz_shape *wide, const sqz_shape *y, size_t i, int64_t *index)
{
    size_t flat = 0, inner = 1;
    for (int32_t a = y->rank - 1; a >= 0; a--) {
        const int32_t w = a - (y->rank - wide->rank);
        index[a] = 0;
        if (w >= 0) {
            index[a] = (int64_t)(i % (size_t)wide->dim[w]);
            i /= (size_t)wide->dim[w];
        }
        flat += (size_t)index[a] * inner;
        inner *= (size_t)y->dim[a];
    }
    return flat;
}

static sqz_status apply_constant(sqz_scaling *k, const sqz_scaled_constant *c)
{
    sqz_graph *g = k->g;
    const sqz_vid v = sqz_nod(g, c->node)->in[c->slot];
    const sqz_tensor *old = sqz_val(g, v)->constant;
    sqz_shape wide;
    sqz_tensor t;
    if (map_is_one(k, &c->in, &c->y) && map_is_one(k, &c->out, &c->y))
        return SQZ_OK;
    if (!wide_shape(c, &old->shape, &wide) || wide.rank > c->y.rank)
        return sqz_fail(g->ctx, SQZ_E_INTERNAL, "constant '%s' does not follow its channels",
                        sqz_val(g, v)->name);
    const bool last = sqz_val(g, sqz_nod(g, c->node)->out[0])->channel_last;
    for (; last && wide.rank < c->y.rank; wide.rank++) { /* all axes, to be turned by the export */
        memmove(wide.dim + 1, wide.dim, (size_t)wide.rank * sizeof *wide.dim);
        wide.dim[0] = 1;
    }
    SQZ_TRY(sqz_tensor_alloc(g->ctx, SQZ_F32, &wide, &t));
    for (size_t i = 0; i < t.count; i++) {
        int64_t index[SQZ_MAX_RANK];
        const size_t e = index_of(&wide, &c->y, i, index);
        const double s = factor_at(k, &c->in, e) / factor_at(k, &c->out, e);
        SQZ_F32P(&t)
        [i] = (float)((double)SQZ_F32P(old)[offset_in(&old->shape, &c->y, index)] *
                      (c->quotient ? 1 / s : s));
    }
    SQZ_TRY(sqz_put_operand(g, c->node, c->slot, &t));
    if (wide.rank == c->y.rank) /* else it has no axes but the last ones, in either layout */
        sqz_val(g, sqz_nod(g, c->node)->in[c->slot])->channel_last = last;
    return SQZ_OK;
}

/* ---- what is known of values ---- */

static sqz_status forget(sqz_scaling *k, sqz_vid v)
{
    sqz_value *val = sqz_val(k->g, v);
    const sqz_channel_map *m = &k->map[v];
    if (!m->n || map_is_one(k, m, &val->shape))
        return SQZ_OK;
    val->range = NULL;
    const sqz_normal *old = val->normal;
    const int32_t last = val->shape.rank - 1;
    val->normal = NULL;
    for (int32_t a = 0; a < last && old; a++)
        if (sqz_map_has_axis(m, &val->shape, a))
            return SQZ_OK; /* nothing is known any more */
    if (!old)
        return SQZ_OK;
    float *mean = sqz_arena_alloc(k->a, old->n, sizeof *mean);
    float *sd = sqz_arena_alloc(k->a, old->n, sizeof *sd);
    if (!mean || !sd)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < old->n; i++) {
        mean[i] = (float)((double)old->mean[i] / factor_at(k, m, i));
        sd[i] = (float)((double)old->sd[i] / factor_at(k, m, i));
        if (!isfinite(mean[i]) || !isfinite(sd[i]))
            return SQZ_OK;
    }
    return sqz_value_set_normal(k->g, v, old->n, mean, sd);
}

sqz_status sqz_scaling_apply(sqz_scaling *k, uint32_t *changed)
{
    const uint32_t n_value = k->g->n_value;
    *changed = 0;
    for (uint32_t c = 0; c < k->n; c++)
        if (sqz_channel_free(k, c) == c) {
            if (!(k->s[c] > 0) || !isfinite(k->s[c]))
                return sqz_fail(k->g->ctx, SQZ_E_INTERNAL, "a channel is scaled by %g", k->s[c]);
            *changed += k->s[c] != 1;
        }
    if (!*changed)
        return SQZ_OK;
    for (uint32_t i = 0; i < k->n_linear; i++)
        SQZ_TRY(apply_linear(k, &k->linear[i]));
    for (uint32_t i = 0; i < k->n_constant; i++)
        SQZ_TRY(apply_constant(k, &k->constant[i]));
    for (sqz_vid v = 0; v < n_value; v++)
        SQZ_TRY(forget(k, v));
    return SQZ_OK;
}
