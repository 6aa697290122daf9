/* scaling.c: finds classes of channels. Nodes are visited in order: each passes the channels of its
 * inputs on, makes channels of its own, or fixes those that it reads. */
#include "quant/scaling.h"
#include <math.h>
#include <string.h>

/* ---- attributes ---- */

static const void *attr(const sqz_node *n, const char *name)
{
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (strcmp(n->op->info.opts[i].name, name) == 0)
            return sqz_opt_field(&n->op->info.opts[i], n->attrs);
    return NULL;
}

static int64_t int_of(const sqz_node *n, const char *name, int64_t none)
{
    const int64_t *p = attr(n, name);
    return p ? *p : none;
}

static bool is_op(const sqz_node *n, const char *name)
{
    return strcmp(n->op->info.name, name) == 0;
}

static const sqz_shape *shape_of(const sqz_scaling *k, sqz_vid v)
{
    return &sqz_val(k->g, v)->shape;
}

static bool is_float_constant(const sqz_scaling *k, sqz_vid v)
{
    const sqz_value *c = v == SQZ_NONE ? NULL : sqz_val(k->g, v);
    return c && c->constant && c->dtype == SQZ_F32 && !c->quant;
}

static bool is_data(const sqz_scaling *k, sqz_vid v)
{
    return v != SQZ_NONE && !sqz_val(k->g, v)->constant;
}

/* ---- classes ---- */

uint32_t sqz_channel_class(const sqz_scaling *k, uint32_t c)
{
    while (k->parent[c] != c)
        c = k->parent[c] = k->parent[k->parent[c]];
    return c;
}

static void unite(sqz_scaling *k, uint32_t a, uint32_t b)
{
    a = sqz_channel_class(k, a);
    b = sqz_channel_class(k, b);
    const uint32_t low = SQZ_MIN(a, b), high = SQZ_MAX(a, b);
    k->parent[high] = low;
    k->fixed[low] = k->fixed[low] || k->fixed[high];
}

static size_t map_channels(const sqz_channel_map *m)
{
    size_t n = 1;
    for (unsigned i = 0; i < m->n; i++)
        n *= m->digit[i].count;
    return n;
}

/* Channel number i of those that a map reaches. */
static uint32_t map_channel(const sqz_channel_map *m, size_t i)
{
    uint32_t c = m->base;
    for (unsigned d = 0; d < m->n; d++) {
        c += (uint32_t)(i % m->digit[d].count) * m->digit[d].step;
        i /= m->digit[d].count;
    }
    return c;
}

static void fix_map(sqz_scaling *k, const sqz_channel_map *m)
{
    for (size_t i = 0, n = m->n ? map_channels(m) : 0; i < n; i++)
        k->fixed[sqz_channel_class(k, map_channel(m, i))] = true;
}

static void fix_value(sqz_scaling *k, sqz_vid v)
{
    if (v != SQZ_NONE)
        fix_map(k, &k->map[v]);
}

/* Fresh channels, one for each index of the axis. */
static void fresh(sqz_scaling *k, sqz_vid v, int32_t axis)
{
    const sqz_shape *s = shape_of(k, v);
    const size_t n = (size_t)s->dim[axis];
    const sqz_axis_digit d = {axis, 1, n, 1};
    if (n < 1 || n > k->room - k->n)
        return; /* room is for every output: more cannot be */
    (void)sqz_map_join(k->n, &d, n > 1, s, &k->map[v]);
    k->n += (uint32_t)n;
}

/* ---- nodes that pass channels on ---- */

typedef void (*rule)(sqz_scaling *k, sqz_nid id, const sqz_node *n);

/* All that the node reads is fixed; what it makes has no channels. */
static void fix_all(sqz_scaling *k, sqz_nid id, const sqz_node *n)
{
    (void)id;
    for (unsigned i = 0; i < n->n_in; i++)
        fix_value(k, n->in[i]);
    for (unsigned i = 0; i < n->n_out; i++)
        if (n->out[i] != SQZ_NONE)
            k->map[n->out[i]].n = 0;
}

static void pass_moved(sqz_scaling *k, sqz_nid id, const sqz_node *n, const int32_t *to)
{
    if (!sqz_map_move(&k->map[n->in[0]], shape_of(k, n->in[0]), shape_of(k, n->out[0]), to,
                      &k->map[n->out[0]]))
        fix_all(k, id, n);
}

/* Elements keep their order. */
static void pass_same(sqz_scaling *k, sqz_nid id, const sqz_node *n)
{
    (void)id;
    k->map[n->out[0]] = k->map[n->in[0]];
}

/* Axes keep their places; those without channels may change: pools, resizing. */
static void pass_axes(sqz_scaling *k, sqz_nid id, const sqz_node *n)
{
    int32_t to[SQZ_MAX_RANK];
    for (int32_t a = 0; a < SQZ_MAX_RANK; a++)
        to[a] = a;
    if (n->n_out > 1 || shape_of(k, n->in[0])->rank != shape_of(k, n->out[0])->rank)
        fix_all(k, id, n);
    else
        pass_moved(k, id, n, to);
}

static void pass_pad(sqz_scaling *k, sqz_nid id, const sqz_node *n)
{
    const double *value = attr(n, "value");
    if (int_of(n, "mode", 0) == 0 && value && *value != 0.0)
        fix_all(k, id, n);
    else
        pass_axes(k, id, n);
}

static void pass_transpose(sqz_scaling *k, sqz_nid id, const sqz_node *n)
{
    const int32_t rank = shape_of(k, n->in[0])->rank;
    const sqz_ints *perm = attr(n, "perm");
    int32_t to[SQZ_MAX_RANK] = {0};
    for (int32_t i = 0; i < rank; i++)
        to[perm && perm->n ? perm->v[i] : rank - 1 - i] = i;
    pass_moved(k, id, n, to);
}

/* Means over axes without channels. */
static void pass_mean(sqz_scaling *k, sqz_nid id, const sqz_node *n)
{
    const sqz_shape *x = shape_of(k, n->in[0]);
    const sqz_ints *axes = attr(n, "axes");
    const bool keep = int_of(n, "keepdims", 1) != 0;
    int32_t to[SQZ_MAX_RANK] = {0}, at = 0;
    if (!axes || !axes->n) {
        fix_all(k, id, n);
        return;
    }
    for (uint32_t i = 0; i < axes->n; i++)
        to[axes->v[i] < 0 ? axes->v[i] + x->rank : axes->v[i]] = -1;
    for (int32_t a = 0; a < x->rank; a++) {
        const bool gone = to[a] < 0;
        to[a] = gone ? -1 : at;
        at += !gone || keep;
    }
    pass_moved(k, id, n, to);
}

/* Two activations of one shape: their channels are the same classes. */
static void tie(sqz_scaling *k, sqz_nid id, const sqz_node *n)
{
    const sqz_channel_map *a = &k->map[n->in[0]], *b = &k->map[n->in[1]];
    const size_t count = map_channels(a);
    bool same = a->n && a->n == b->n && sqz_shape_eq(shape_of(k, n->in[0]), shape_of(k, n->in[1]));
    for (unsigned i = 0; i < a->n && same; i++)
        same = a->digit[i].stride == b->digit[i].stride && a->digit[i].count == b->digit[i].count;
    if (!same) {
        fix_all(k, id, n);
        return;
    }
    for (size_t i = 0; i < count; i++)
        unite(k, map_channel(a, i), map_channel(b, i));
    k->map[n->out[0]] = *a;
}

static void add_constant(sqz_scaling *k, sqz_nid id, unsigned slot, const sqz_channel_map *in,
                         const sqz_channel_map *out, bool quotient)
{
    const sqz_node *n = sqz_nod(k->g, id);
    sqz_scaled_constant *c = &k->constant[k->n_constant++];
    *c = (sqz_scaled_constant){
        .node = id, .slot = slot, .y = *shape_of(k, n->out[0]), .quotient = quotient};
    if (in)
        c->in = *in;
    if (out)
        c->out = *out;
}

/* y = x + c: c is scaled along. */
static void pass_sum(sqz_scaling *k, sqz_nid id, const sqz_node *n)
{
    const unsigned c = is_float_constant(k, n->in[0]) ? 0 : 1;
    const sqz_vid x = n->in[1 - c];
    if (is_data(k, n->in[0]) && is_data(k, n->in[1])) {
        tie(k, id, n);
    } else if (!is_float_constant(k, n->in[c]) ||
               !sqz_shape_eq(shape_of(k, x), shape_of(k, n->out[0])) || !k->map[x].n) {
        fix_all(k, id, n);
    } else {
        k->map[n->out[0]] = k->map[x];
        add_constant(k, id, c, NULL, &k->map[x], false);
    }
}

/* y = x * c, x / c: c takes up the factors of both sides, so y has channels of its own. */
static void own_product(sqz_scaling *k, sqz_nid id, const sqz_node *n)
{
    const bool div = is_op(n, "div");
    const unsigned c = !div && is_float_constant(k, n->in[0]) ? 0 : 1;
    const sqz_vid x = n->in[1 - c], y = n->out[0];
    if (is_data(k, n->in[0]) && is_data(k, n->in[1])) {
        fix_all(k, id, n);
        return;
    }
    if (!is_float_constant(k, n->in[c]) || !sqz_shape_eq(shape_of(k, x), shape_of(k, y)) ||
        shape_of(k, y)->rank < 1) {
        fix_all(k, id, n);
        return;
    }
    fresh(k, y, shape_of(k, y)->rank - 1);
    add_constant(k, id, c, &k->map[x], &k->map[y], div);
}

/* Normalization removes factors of what it reads only when they are all equal: fixed. Its scale and
 * bias make channels. */
static void own_norm(sqz_scaling *k, sqz_nid id, const sqz_node *n)
{
    const sqz_vid y = n->out[0];
    const int32_t last = shape_of(k, y)->rank - 1;
    fix_all(k, id, n);
    if (n->n_out > 1 || n->n_in < 2 || last < 0)
        return;
    for (unsigned i = 1; i < SQZ_MIN(n->n_in, 3); i++)
        if (n->in[i] != SQZ_NONE &&
            (!is_float_constant(k, n->in[i]) || shape_of(k, n->in[i])->rank < 1 ||
             shape_of(k, n->in[i])->dim[shape_of(k, n->in[i])->rank - 1] !=
                 shape_of(k, y)->dim[last]))
            return;
    fresh(k, y, last);
    for (unsigned i = 1; i < SQZ_MIN(n->n_in, 3) && k->map[y].n; i++)
        if (n->in[i] != SQZ_NONE)
            add_constant(k, id, i, NULL, &k->map[y], false);
}

/* Inputs lie one behind the other along the axis: where it has the channels each has its own. */
static void pass_concat(sqz_scaling *k, sqz_nid id, const sqz_node *n)
{
    const sqz_shape *y = shape_of(k, n->out[0]);
    int32_t axis = (int32_t)int_of(n, "axis", 0);
    axis += axis < 0 ? y->rank : 0;
    bool known = true;
    for (unsigned i = 0; i < n->n_in; i++) {
        sqz_axis_digit d[SQZ_DIGITS];
        unsigned m = 0;
        const sqz_channel_map *x = &k->map[n->in[i]];
        known = known && x->n && sqz_map_split(x, shape_of(k, n->in[i]), d, &m) && m == 1 &&
                d[0].axis == axis && d[0].sub == 1 &&
                (int64_t)d[0].count == shape_of(k, n->in[i])->dim[axis];
    }
    if (!known) {
        fix_all(k, id, n);
        return;
    }
    fresh(k, n->out[0], axis);
    const sqz_channel_map *out = &k->map[n->out[0]];
    uint32_t at = out->base;
    for (unsigned i = 0; i < n->n_in && out->n; i++) {
        const sqz_channel_map *x = &k->map[n->in[i]];
        for (size_t c = 0; c < map_channels(x); c++)
            unite(k, at++, map_channel(x, c));
    }
}

static void pass_split(sqz_scaling *k, sqz_nid id, const sqz_node *n)
{
    const sqz_vid x = n->in[0];
    const sqz_shape *s = shape_of(k, x);
    sqz_axis_digit d[SQZ_DIGITS];
    unsigned m;
    int32_t axis = (int32_t)int_of(n, "axis", 0);
    axis += axis < 0 ? s->rank : 0;
    bool known = k->map[x].n && sqz_map_split(&k->map[x], s, d, &m);
    for (unsigned i = 0; known && i < m; i++)
        known = d[i].axis != axis || (d[i].sub == 1 && (int64_t)d[i].count == s->dim[axis]);
    if (!known) {
        fix_all(k, id, n);
        return;
    }
    uint32_t base = k->map[x].base;
    for (unsigned o = 0; o < n->n_out; o++) {
        const sqz_shape *y = shape_of(k, n->out[o]);
        uint32_t next = base;
        for (unsigned i = 0; i < m; i++)
            if (d[i].axis == axis) {
                d[i].count = (size_t)y->dim[axis];
                next = base + d[i].step * (uint32_t)d[i].count;
            }
        (void)sqz_map_join(base, d, m, y, &k->map[n->out[o]]);
        base = next;
    }
}

/* A bound at 0 scales along; others hold for s = 1 unless whoever chooses s sees to it. */
static void pass_clip(sqz_scaling *k, sqz_nid id, const sqz_node *n)
{
    const double *lo = attr(n, "min"), *hi = attr(n, "max");
    if (!lo || !hi || !(*lo <= 0) || !(*hi >= 0)) {
        fix_all(k, id, n);
        return;
    }
    pass_same(k, id, n);
    if (k->map[n->in[0]].n && ((isfinite(*lo) && *lo != 0) || (isfinite(*hi) && *hi != 0)))
        k->clip[k->n_clip++] = (sqz_scaled_clip){id, n->in[0], k->map[n->in[0]], (float)*lo,
                                                 (float)*hi};
}

/* ---- linear nodes ---- */

/* The channel of each index of the last axis; SQZ_NONE where the channels lie elsewhere. */
static sqz_status last_axis(const sqz_scaling *k, sqz_vid v, uint32_t **out)
{
    const sqz_shape *s = shape_of(k, v);
    const size_t n = (size_t)s->dim[s->rank - 1];
    sqz_axis_digit d[SQZ_DIGITS];
    unsigned m = 0;
    bool known = k->map[v].n && sqz_map_split(&k->map[v], s, d, &m);
    for (unsigned i = 0; i < m; i++)
        known = known && d[i].axis == s->rank - 1;
    *out = sqz_arena_alloc(k->a, n + 1, sizeof **out);
    if (!*out)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < n; i++)
        (*out)[i] = known ? sqz_channel_of(&k->map[v], i) : SQZ_NONE;
    return SQZ_OK;
}

static bool describe(const sqz_scaling *k, sqz_nid id, const sqz_node *n, sqz_scaled *l)
{
    const sqz_shape *x = shape_of(k, n->in[0]), *y = shape_of(k, n->out[0]), *w;
    if (n->n_in < 2 || !is_data(k, n->in[0]) || !is_float_constant(k, n->in[1]) || x->rank < 1 ||
        y->rank < 1 || int_of(n, "trans_b", 0))
        return false;
    *l = (sqz_scaled){.node = id, .x = n->in[0], .w = n->in[1], .b = SQZ_NONE, .y = n->out[0]};
    if (n->n_in > 2 && n->in[2] != SQZ_NONE) {
        l->b = n->in[2];
        if (!is_float_constant(k, l->b))
            return false;
    }
    w = shape_of(k, l->w);
    l->ins = (size_t)x->dim[x->rank - 1];
    l->outs = (size_t)y->dim[y->rank - 1];
    if (!l->ins || !l->outs ||
        (l->b != SQZ_NONE && sqz_val(k->g, l->b)->constant->count != l->outs))
        return false;
    const bool conv = is_op(n, "conv2d") || is_op(n, "dwconv2d"),
               deconv = is_op(n, "conv_transpose");
    const size_t group = is_op(n, "dwconv2d") ? l->ins : (size_t)int_of(n, "group", 1);
    if ((conv || deconv) && (!sqz_val(k->g, l->x)->channel_last || group == 0))
        return false;
    if (is_op(n, "matmul") && (w->rank != 2 || x->rank < 2))
        return false;
    l->form = is_op(n, "matmul") ? SQZ_W_COLUMNS : deconv ? SQZ_W_TURNED : SQZ_W_ROWS;
    l->cols = conv || deconv ? l->ins / group : l->ins;
    l->share = conv || deconv ? l->outs / group : l->outs;
    const sqz_ints *pads = attr(n, "pads");
    for (uint32_t i = 0; pads && i < pads->n; i++)
        l->padded = l->padded || pads->v[i] != 0;
    const size_t blocks = l->outs * l->cols, count = sqz_val(k->g, l->w)->constant->count;
    l->taps = blocks ? count / blocks : 0;
    return l->share && l->cols && l->taps && l->taps * blocks == count;
}

static void own_linear(sqz_scaling *k, sqz_nid id, const sqz_node *n)
{
    sqz_scaled *l = &k->linear[k->n_linear];
    const sqz_vid y = n->out[0];
    if (!describe(k, id, n, l)) {
        fix_all(k, id, n);
        return;
    }
    fresh(k, y, shape_of(k, y)->rank - 1);
    k->n_linear++;
}

/* y = a . b of two activations: columns of b, and its stack, are those of y. */
static void pass_matmul(sqz_scaling *k, sqz_nid id, const sqz_node *n)
{
    const sqz_shape *b = shape_of(k, n->in[1]), *y = shape_of(k, n->out[0]);
    if (!is_data(k, n->in[1])) {
        own_linear(k, id, n);
        return;
    }
    fix_value(k, n->in[0]);
    int32_t to[SQZ_MAX_RANK] = {0};
    for (int32_t a = 0; a < b->rank; a++)
        to[a] = a == b->rank - 2 ? -1 : a;
    k->map[n->out[0]].n = 0;
    if (n->n_in > 2 || int_of(n, "trans_b", 0) || b->rank < 2 || b->rank != y->rank ||
        !sqz_map_move(&k->map[n->in[1]], b, y, to, &k->map[n->out[0]]))
        fix_value(k, n->in[1]);
}

static const struct {
    const char *op;
    rule rule;
} rules[] = {
    {"relu", pass_same},
    {"leaky_relu", pass_same},
    {"prelu", pass_same},
    {"identity", pass_same},
    {"abs", pass_same},
    {"neg", pass_same},
    {"reshape", pass_same},
    {"flatten", pass_same},
    {"squeeze", pass_same},
    {"unsqueeze", pass_same},
    {"transpose", pass_transpose},
    {"max_pool", pass_axes},
    {"average_pool", pass_axes},
    {"global_average_pool", pass_axes},
    {"global_max_pool", pass_axes},
    {"resize_nearest", pass_axes},
    {"resize_linear", pass_axes},
    {"pad", pass_pad},
    {"reduce_mean", pass_mean},
    {"reduce_max", pass_mean},
    {"reduce_sum", pass_mean},
    {"add", pass_sum},
    {"sub", pass_sum},
    {"mul", own_product},
    {"div", own_product},
    {"concat", pass_concat},
    {"split", pass_split},
    {"clip", pass_clip},
    {"layer_norm", own_norm},
    {"rms_norm", own_norm},
    {"conv2d", own_linear},
    {"dwconv2d", own_linear},
    {"conv_transpose", own_linear},
    {"gemm", own_linear},
    {"matmul", pass_matmul},
};

static rule rule_of(const sqz_node *n)
{
    if (n->n_out < 1 || n->n_in < 1 || n->in[0] == SQZ_NONE)
        return fix_all;
    for (size_t i = 0; i < SQZ_COUNT(rules); i++)
        if (strcmp(rules[i].op, n->op->info.name) == 0)
            return rules[i].rule;
    return fix_all;
}

/* ---- all nodes ---- */

static sqz_status make_room(sqz_scaling *k)
{
    size_t room = 1, nodes = 1;
    SQZ_EACH_NODE(k->g, id)
    {
        const sqz_node *n = sqz_nod(k->g, id);
        nodes++;
        for (unsigned i = 0; i < n->n_out; i++) {
            const sqz_shape *s = shape_of(k, n->out[i]);
            int64_t most = 0; /* one axis at most gets channels */
            for (int32_t a = 0; a < s->rank; a++)
                most = SQZ_MAX(most, s->dim[a]);
            room += (size_t)most;
        }
    }
    if (room > UINT32_MAX / 2)
        return sqz_fail(k->g->ctx, SQZ_E_LIMIT, "%zu channels in all", room);
    k->room = (uint32_t)room;
    k->parent = sqz_arena_alloc(k->a, room, sizeof *k->parent);
    k->fixed = sqz_arena_alloc(k->a, room, sizeof *k->fixed);
    k->s = sqz_arena_alloc(k->a, room, sizeof *k->s);
    k->map = sqz_arena_alloc(k->a, k->g->n_value + 1u, sizeof *k->map);
    k->linear = sqz_arena_alloc(k->a, nodes, sizeof *k->linear);
    k->constant = sqz_arena_alloc(k->a, 2 * nodes, sizeof *k->constant);
    k->clip = sqz_arena_alloc(k->a, nodes, sizeof *k->clip);
    if (!k->parent || !k->fixed || !k->s || !k->map || !k->linear || !k->constant || !k->clip)
        return SQZ_E_NOMEM;
    for (uint32_t c = 0; c < k->room; c++) {
        k->parent[c] = c;
        k->s[c] = 1;
    }
    return SQZ_OK;
}

static void fix_list(sqz_scaling *k, const uint32_t *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c[i] != SQZ_NONE)
            k->fixed[sqz_channel_class(k, c[i])] = true;
}

/* Channels of each linear node's inputs and outputs. Weights that several nodes read, and inputs
 * whose channels do not lie along the last axis, fix them. */
static sqz_status finish_linear(sqz_scaling *k, const sqz_uses *u)
{
    for (uint32_t i = 0; i < k->n_linear; i++) {
        sqz_scaled *l = &k->linear[i];
        SQZ_TRY(last_axis(k, l->x, &l->in));
        SQZ_TRY(last_axis(k, l->y, &l->out));
        if (l->in[0] == SQZ_NONE)
            fix_value(k, l->x);
        if (sqz_n_uses(u, l->w) > 1) {
            fix_list(k, l->in, l->ins);
            fix_list(k, l->out, l->outs);
        }
    }
    return SQZ_OK;
}

static bool all_float(const sqz_scaling *k, const sqz_node *n)
{
    for (unsigned i = 0; i < n->n_out; i++)
        if (n->out[i] == SQZ_NONE || sqz_val(k->g, n->out[i])->dtype != SQZ_F32)
            return false;
    return true;
}

sqz_status sqz_scaling_find(sqz_graph *g, sqz_arena *a, sqz_scaling *out)
{
    sqz_uses u;
    *out = (sqz_scaling){.g = g, .a = a};
    SQZ_TRY(sqz_uses_build(g, a, &u));
    SQZ_TRY(make_room(out));
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        (all_float(out, n) ? rule_of(n) : fix_all)(out, id, n);
    }
    for (uint32_t i = 0; i < g->n_output; i++)
        fix_value(out, g->output[i]);
    return finish_linear(out, &u);
}

void sqz_scaling_hold_clips(sqz_scaling *k)
{
    for (uint32_t i = 0; i < k->n_clip; i++)
        fix_map(k, &k->clip[i].map);
}
