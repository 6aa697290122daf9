/* pass_layout.c: channel-last inside. docs/ir.md, "Layout", tells the rules.
 *
 * Values come in the file's layout (N,C,H,W). Operators that run channel-last (L_CHANNELS) want
 * (N,H,W,C); those that take any layout (L_ANY) follow their neighbors: values joined by them form
 * sets, and a set that touches a channel-last operator is channel-last. Everything else stays as it
 * is. Where a value is wanted in the other layout, one transpose makes its twin. */
#include "canon/layout.h"
#include "ir/pass.h"
#include "ir/qgrid.h"
#include <string.h>

typedef struct variant { /* a constant as channel-last operators of one rank read it */
    sqz_vid from, to;
    int32_t rank;
    struct variant *next;
} variant;

typedef struct work {
    sqz_graph *g;
    sqz_arena *a;
    sqz_vid *parent;    /* union-find over values */
    bool *touched;      /* of a set's root: a channel-last operator is in reach */
    bool *last;         /* of a value: it will be channel-last */
    bool *node_last;    /* of a node: it reads and writes channel-last */
    bool *node_view;    /* of a transpose of the file: it moves nothing */
    int32_t *node_rank; /* of a node of any layout: the rank at which its operands join; 0: none */
    sqz_vid *twin;      /* of a value: its copy in the other layout, or SQZ_NONE */
    variant **variant;  /* of a constant */
} work;

/* ---- small questions ---- */

static const sqz_attr *find_attr(const sqz_op *op, const char *name)
{
    for (unsigned i = 0; i < op->info.n_opts; i++)
        if (strcmp(op->info.opts[i].name, name) == 0)
            return &op->info.opts[i];
    return NULL;
}

static const sqz_value *value_of(const work *w, sqz_vid v)
{
    return v == SQZ_NONE ? NULL : sqz_val(w->g, v);
}

static size_t count_of(const sqz_shape *s)
{
    size_t n = 1; /* counted before, when the value was made: fits */
    for (int32_t i = 0; i < s->rank; i++)
        n *= (size_t)s->dim[i];
    return n;
}

static sqz_vid root(const work *w, sqz_vid v)
{
    while (w->parent[v] != v)
        v = w->parent[v] = w->parent[w->parent[v]];
    return v;
}

static bool is_transpose(const sqz_node *n) { return strcmp(n->op->info.name, "transpose") == 0; }

/* Whether a transpose of the file has the permutation between the layouts: axis i of its output is
 * axis perm[i] of its input. */
static bool has_perm(const work *w, const sqz_node *n, bool to_last)
{
    const sqz_attr *at = find_attr(n->op, "perm");
    int32_t rank = sqz_val(w->g, n->in[0])->shape.rank;
    const sqz_ints *perm = at ? sqz_opt_field(at, n->attrs) : NULL;
    if (!perm || rank < 3 || (perm->n && perm->n != (uint32_t)rank))
        return false;
    for (int32_t i = 0; i < rank; i++) {
        int64_t from = perm->n ? perm->v[i] : rank - 1 - i;
        if (from != (to_last ? sqz_axis_to_file(i, rank) : sqz_axis_to_last(i, rank)))
            return false;
    }
    return true;
}

/* ---- which operators of any layout can be channel-last ---- */

/* An output of lower rank: axes vanish. What is left, in order, must be a tensor in one of the two
 * layouts; *last says which. */
static bool reduced_layout(const sqz_node *n, int32_t rank, int32_t out_rank, bool *last)
{
    bool gone[SQZ_MAX_RANK] = {false};
    int32_t file[SQZ_MAX_RANK] = {0}, phys[SQZ_MAX_RANK] = {0}, nf = 0, np = 0;
    const sqz_attr *at = NULL;
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (n->op->info.opts[i].flags & SQZ_AF_AXIS)
            at = &n->op->info.opts[i];
    if (!at)
        return false;
    const void *field = sqz_opt_field(at, n->attrs);
    const sqz_ints one = {1, field}, *list = at->type == SQZ_A_INTS ? field : &one;
    for (int32_t a = 0; a < rank; a++)
        gone[a] = list->n == 0; /* no axes named: all of them */
    for (uint32_t i = 0; i < list->n; i++) {
        int64_t a = list->v[i] < 0 ? list->v[i] + rank : list->v[i];
        if (a < 0 || a >= rank)
            return false;
        gone[a] = true;
    }
    for (int32_t i = 0; i < rank; i++) {
        if (!gone[i])
            file[nf++] = i;
        if (!gone[sqz_axis_to_file(i, rank)])
            phys[np++] = sqz_axis_to_file(i, rank);
    }
    bool same = nf == out_rank, moved = nf == out_rank && nf >= 3;
    for (int32_t i = 0; i < nf && i < out_rank; i++) {
        same = same && phys[i] == file[i];
        moved = moved && phys[i] == file[sqz_axis_to_file(i, nf)];
    }
    *last = !same && moved;
    return same || moved;
}

/* The rank at which an L_ANY node could be channel-last; 0: it cannot. Operands of lower rank must
 * be constants that broadcast, or single numbers. */
static int32_t any_rank(const work *w, const sqz_node *n)
{
    int32_t rank = 0;
    bool last;
    for (unsigned i = 0; i < n->n_in; i++)
        if (n->in[i] != SQZ_NONE)
            rank = SQZ_MAX(rank, sqz_val(w->g, n->in[i])->shape.rank);
    if (n->op->layout != SQZ_L_ANY || rank < 3)
        return 0;
    for (unsigned i = 0; i < n->n_in; i++) {
        const sqz_value *v = value_of(w, n->in[i]);
        if (!v || v->shape.rank == rank || count_of(&v->shape) == 1)
            continue;
        if (!v->constant || !(n->op->traits & SQZ_T_ELEMENTWISE))
            return 0;
    }
    if (!value_of(w, n->in[0]) || sqz_val(w->g, n->in[0])->shape.rank != rank)
        for (unsigned i = 0; i < n->op->info.n_opts; i++) /* axes are those of input 0 */
            if (n->op->info.opts[i].flags & (SQZ_AF_AXIS | SQZ_AF_PER_AXIS | SQZ_AF_PER_AXIS2))
                return 0;
    for (unsigned i = 0; i < n->n_out; i++) {
        int32_t r = sqz_val(w->g, n->out[i])->shape.rank;
        if (r != rank && !reduced_layout(n, rank, r, &last))
            return 0;
    }
    return rank;
}

/* ---- deciding ---- */

static bool joins(const work *w, sqz_vid v, int32_t rank)
{
    const sqz_value *val = value_of(w, v);
    return val && !val->constant && val->shape.rank == rank;
}

/* Ids of all inputs, then all outputs. */
static sqz_vid end_of(const sqz_node *n, unsigned i)
{
    return i < n->n_in ? n->in[i] : n->out[i - n->n_in];
}

static void make_sets(work *w)
{
    for (sqz_vid v = 0; v < w->g->n_value; v++)
        w->parent[v] = v;
    SQZ_EACH_NODE(w->g, id)
    {
        const sqz_node *n = sqz_nod(w->g, id);
        int32_t rank = w->node_rank[id] = any_rank(w, n);
        sqz_vid first = SQZ_NONE;
        for (unsigned i = 0; rank && i < (unsigned)n->n_in + n->n_out; i++) {
            if (!joins(w, end_of(n, i), rank))
                continue;
            if (first == SQZ_NONE)
                first = end_of(n, i);
            w->parent[root(w, end_of(n, i))] = root(w, first);
        }
    }
    SQZ_EACH_NODE(w->g, id)
    {
        const sqz_node *n = sqz_nod(w->g, id);
        for (unsigned i = 0; i < (unsigned)n->n_in + n->n_out; i++) {
            const sqz_value *v = value_of(w, end_of(n, i));
            if (n->op->layout == SQZ_L_CHANNELS && v && !v->constant && v->shape.rank >= 3)
                w->touched[root(w, end_of(n, i))] = true;
        }
    }
}

/* A transpose of the file that only converts between the layouts is free when one side stands in
 * the other layout: tf2onnx wraps every convolution so. */
static void decide_transpose(work *w, sqz_nid id)
{
    const sqz_node *n = sqz_nod(w->g, id);
    if (has_perm(w, n, true) && w->last[n->in[0]]) {
        w->node_view[id] = true; /* channel-last in, file's layout out: the same bytes */
    } else if (has_perm(w, n, false) && !w->last[n->in[0]] && w->touched[root(w, n->out[0])]) {
        w->node_view[id] = true;
        w->last[n->out[0]] = true;
    }
}

static void decide_node(work *w, sqz_nid id)
{
    const sqz_node *n = sqz_nod(w->g, id);
    if (is_transpose(n)) {
        decide_transpose(w, id);
        return;
    }
    int32_t rank = w->node_rank[id];
    w->node_last[id] = n->op->layout == SQZ_L_CHANNELS;
    for (unsigned i = 0; rank && i < (unsigned)n->n_in + n->n_out; i++)
        if (joins(w, end_of(n, i), rank) && w->touched[root(w, end_of(n, i))])
            w->node_last[id] = true;
    for (unsigned i = 0; w->node_last[id] && i < n->n_out; i++) {
        int32_t r = sqz_val(w->g, n->out[i])->shape.rank;
        w->last[n->out[i]] = r >= 3;
        if (rank && r != rank)
            (void)reduced_layout(n, rank, r, &w->last[n->out[i]]);
    }
}

static void decide(work *w)
{
    make_sets(w);
    for (uint32_t i = 0; i < w->g->n_input; i++) {
        sqz_vid v = w->g->input[i];
        w->last[v] = w->touched[root(w, v)] && sqz_val(w->g, v)->shape.rank >= 3;
    }
    SQZ_EACH_NODE(w->g, id) { decide_node(w, id); }
}

/* ---- values and attributes ---- */

/* The grid of a tensor of shape `file` (axes in front left out, as broadcasting has it) that became
 * channel-last at `rank` axes. */
static sqz_status move_quant(work *w, sqz_vid to, const sqz_quant *q, const sqz_shape *file,
                             int32_t rank)
{
    int perm[SQZ_MAX_RANK];
    sqz_shape s = {.rank = rank};
    if (!q || q->axis < 0)
        return SQZ_OK;
    sqz_quant wide = *q, moved;
    wide.axis += rank - file->rank;
    for (int32_t i = 0; i < rank; i++) {
        int32_t k = i - (rank - file->rank);
        s.dim[i] = k < 0 ? 1 : file->dim[k];
        perm[i] = sqz_axis_to_file(i, rank);
    }
    SQZ_TRY(sqz_quant_permute(w->a, &wide, &s, perm, &moved));
    return sqz_value_set_grid(w->g, to, &moved);
}

static sqz_status turn_values(work *w)
{
    for (sqz_vid v = 0; v < w->g->n_value; v++) {
        sqz_value *val = sqz_val(w->g, v);
        const sqz_shape file = val->shape;
        if (!w->last[v])
            continue;
        for (int32_t i = 0; i < file.rank; i++)
            val->shape.dim[sqz_axis_to_last(i, file.rank)] = file.dim[i];
        val->channel_last = true;
        val->normal = NULL; /* was said of another axis */
        SQZ_TRY(move_quant(w, v, val->quant, &file, file.rank));
    }
    return SQZ_OK;
}

static sqz_status turn_attrs(work *w, sqz_nid id)
{
    const sqz_node *n = sqz_nod(w->g, id);
    void *attrs = NULL;
    if (!n->op->info.opt_size)
        return SQZ_OK;
    if (w->node_view[id]) {
        SQZ_TRY(sqz_opts_copy(w->a, &n->op->info, n->attrs, &attrs));
        *(int64_t *)sqz_opt_field(find_attr(n->op, "view"), attrs) = 1;
    } else if (w->node_last[id] && n->n_in && n->in[0] != SQZ_NONE) {
        int32_t rank = sqz_val(w->g, n->in[0])->shape.rank;
        if (rank >= 3)
            SQZ_TRY(sqz_attrs_renumber(w->g->ctx, w->a, n->op, n->attrs, rank, true, &attrs));
    }
    return attrs ? sqz_node_set_attrs(w->g, id, attrs) : SQZ_OK;
}

/* ---- operands ---- */

static sqz_status transpose_before(work *w, sqz_vid v, sqz_nid before, sqz_vid *out)
{
    const sqz_op *op = sqz_op_find("transpose");
    bool to_last = !sqz_val(w->g, v)->channel_last;
    int32_t rank = sqz_val(w->g, v)->shape.rank;
    int64_t perm[SQZ_MAX_RANK];
    for (int32_t i = 0; i < rank; i++)
        perm[i] = to_last ? sqz_axis_to_file(i, rank) : sqz_axis_to_last(i, rank);
    void *attrs = sqz_arena_alloc(w->a, 1, op->info.opt_size);
    char *name = sqz_arena_printf(w->a, "%s_%s", sqz_val(w->g, v)->name, to_last ? "last" : "file");
    if (!attrs || !name)
        return SQZ_E_NOMEM;
    sqz_opts_default(&op->info, attrs);
    *(sqz_ints *)sqz_opt_field(find_attr(op, "perm"), attrs) = (sqz_ints){(uint32_t)rank, perm};
    const char *out_name[1] = {name};
    SQZ_TRY(sqz_graph_node(w->g, op, name, attrs, &v, 1, out_name, 1, before, out));
    sqz_value *twin = sqz_val(w->g, *out);
    const sqz_value *val = sqz_val(w->g, v);
    sqz_nod(w->g, twin->producer)->layout = true;
    twin->channel_last = to_last;
    twin->twin = v;
    twin->range = val->range;
    twin->was_u8 = val->was_u8;
    twin->quant = val->quant;
    if (!val->quant || val->quant->axis < 0)
        return SQZ_OK;
    sqz_quant moved;
    int axes[SQZ_MAX_RANK];
    for (int32_t i = 0; i < rank; i++)
        axes[i] = (int)perm[i];
    SQZ_TRY(sqz_quant_permute(w->a, val->quant, &val->shape, axes, &moved));
    return sqz_value_set_grid(w->g, *out, &moved);
}

/* `v` in the other layout, made before its first use. */
static sqz_status twin_of(work *w, sqz_vid v, sqz_nid before, sqz_vid *out)
{
    if (w->twin[v] == SQZ_NONE)
        SQZ_TRY(transpose_before(w, v, before, &w->twin[v]));
    *out = w->twin[v];
    return SQZ_OK;
}

/* The numbers of a constant at `rank` axes (ones in front, as broadcasting has it), channel-last.
 */
static sqz_status turned_tensor(work *w, sqz_vid v, int32_t rank, sqz_tensor *out)
{
    sqz_tensor t = *sqz_val(w->g, v)->constant;
    int32_t more = rank - t.shape.rank;
    int perm[SQZ_MAX_RANK];
    sqz_shape s = {.rank = rank};
    for (int32_t i = 0; i < rank; i++) {
        s.dim[i] = i < more ? 1 : t.shape.dim[i - more];
        perm[i] = sqz_axis_to_file(i, rank);
    }
    t.shape = s;
    size_t wide = 0; /* axes behind the channels that are longer than 1 */
    for (int32_t i = 2; i < rank; i++)
        wide += s.dim[i] != 1;
    if (wide && s.dim[1] != 1)
        return sqz_tensor_permute(w->g->ctx, &t, perm, out);
    for (int32_t i = 0; i < rank; i++) /* the same bytes */
        t.shape.dim[i] = s.dim[perm[i]];
    sqz_tensor_share(&t, out);
    return SQZ_OK;
}

static sqz_status variant_of(work *w, sqz_vid v, int32_t rank, sqz_vid *out)
{
    for (const variant *x = w->variant[v]; x; x = x->next)
        if (x->rank == rank) {
            *out = x->to;
            return SQZ_OK;
        }
    sqz_tensor t;
    variant *x = sqz_arena_alloc(w->a, 1, sizeof *x);
    char *name = sqz_arena_printf(w->a, "%s_last", sqz_val(w->g, v)->name);
    if (!x || !name)
        return SQZ_E_NOMEM;
    SQZ_TRY(turned_tensor(w, v, rank, &t));
    SQZ_TRY(sqz_graph_constant(w->g, name, &t, out));
    const sqz_value *from = sqz_val(w->g, v);
    sqz_value *to = sqz_val(w->g, *out);
    to->channel_last = true;
    to->range = from->range;
    to->quant = from->quant;
    to->was_u8 = from->was_u8;
    SQZ_TRY(move_quant(w, *out, from->quant, &from->shape, rank));
    *x = (variant){v, *out, rank, w->variant[v]};
    w->variant[v] = x;
    return SQZ_OK;
}

/* The layout in which node `id` reads activation `v`: +1 channel-last, -1 the file's, 0 as it
 * stands (a single number of lower rank is the same in both). */
static int wanted(const work *w, sqz_nid id, const sqz_value *v)
{
    if (w->node_view[id] || v->shape.rank < 3)
        return 0;
    if (!w->node_last[id])
        return -1;
    return w->node_rank[id] && v->shape.rank != w->node_rank[id] ? 0 : 1;
}

/* The rank at which a channel-last node reads constant `v`; 0: as it is. */
static int32_t constant_rank(const work *w, sqz_nid id, const sqz_value *v)
{
    int32_t rank = w->node_rank[id];
    if (!w->node_last[id])
        return 0;
    if (!rank) /* L_CHANNELS: vectors such as biases stay */
        return v->shape.rank >= 3 ? v->shape.rank : 0;
    return count_of(&v->shape) == 1 && v->shape.rank < rank ? 0 : rank;
}

static sqz_status turn_inputs(work *w, sqz_nid id)
{
    const sqz_node *n = sqz_nod(w->g, id);
    for (unsigned i = 0; i < n->n_in; i++) {
        const sqz_value *v = value_of(w, n->in[i]);
        sqz_vid to = n->in[i];
        if (v && v->constant) {
            int32_t rank = constant_rank(w, id, v);
            if (rank)
                SQZ_TRY(variant_of(w, n->in[i], rank, &to));
        } else if (v) {
            int want = wanted(w, id, v);
            if (want && (want > 0) != v->channel_last)
                SQZ_TRY(twin_of(w, n->in[i], id, &to));
        }
        n->in[i] = to;
    }
    return SQZ_OK;
}

/* A constant that is only read channel-last becomes that; its first variant takes the name. */
static sqz_status settle_constants(work *w, sqz_vid n_value)
{
    sqz_uses u;
    SQZ_TRY(sqz_uses_build(w->g, w->a, &u));
    for (sqz_vid v = 0; v < n_value; v++) {
        variant *x = w->variant[v];
        while (x && x->next)
            x = x->next; /* the oldest */
        if (!x)
            continue;
        if (sqz_n_uses(&u, v) == 0) {
            const char *name = sqz_val(w->g, v)->name;
            sqz_graph_remove_value(w->g, v);
            SQZ_TRY(sqz_graph_rename(w->g, x->to, name));
        } else if (x->rank == sqz_val(w->g, v)->shape.rank) {
            sqz_val(w->g, x->to)->twin = v;
        }
    }
    return SQZ_OK;
}

static sqz_status apply(work *w)
{
    sqz_vid n_value = w->g->n_value;
    SQZ_TRY(turn_values(w));
    SQZ_EACH_NODE(w->g, id) { SQZ_TRY(turn_attrs(w, id)); }
    SQZ_EACH_NODE(w->g, id) { SQZ_TRY(turn_inputs(w, id)); }
    for (uint32_t i = 0; i < w->g->n_output; i++)
        if (sqz_val(w->g, w->g->output[i])->channel_last)
            SQZ_TRY(twin_of(w, w->g->output[i], SQZ_NONE, &w->g->output[i]));
    return settle_constants(w, n_value);
}

static sqz_status work_on(work *w)
{
    size_t nv = (size_t)w->g->n_value + 1, nn = (size_t)w->g->n_node + 1;
    w->parent = sqz_arena_alloc(w->a, nv, sizeof *w->parent);
    w->touched = sqz_arena_alloc(w->a, nv, sizeof *w->touched);
    w->last = sqz_arena_alloc(w->a, nv, sizeof *w->last);
    w->twin = sqz_arena_alloc(w->a, nv, sizeof *w->twin);
    w->variant = sqz_arena_alloc(w->a, nv, sizeof *w->variant);
    w->node_last = sqz_arena_alloc(w->a, nn, sizeof *w->node_last);
    w->node_rank = sqz_arena_alloc(w->a, nn, sizeof *w->node_rank);
    w->node_view = sqz_arena_alloc(w->a, nn, sizeof *w->node_view);
    if (!w->parent || !w->touched || !w->last || !w->node_rank || !w->twin || !w->variant ||
        !w->node_last || !w->node_view)
        return SQZ_E_NOMEM;
    for (size_t v = 0; v < nv; v++)
        w->twin[v] = SQZ_NONE;
    decide(w);
    return apply(w);
}

sqz_status sqz_layout_known(const sqz_graph *g)
{
    for (sqz_vid v = 0; v < g->n_value && !(g->have & SQZ_HAS_LAYOUT); v++)
        if (sqz_val(g, v)->channel_last)
            return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED,
                            "value '%s' is channel-last already, expected the file's layout",
                            sqz_val(g, v)->name);
    return SQZ_OK;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    (void)opts;
    (void)env;
    if (g->have & SQZ_HAS_LAYOUT)
        return SQZ_OK;
    SQZ_TRY(sqz_layout_known(g));
    sqz_arena a = {.ctx = g->ctx};
    work w = {.g = g, .a = &a};
    sqz_status s = work_on(&w);
    sqz_arena_free(&a);
    return s;
}

const sqz_pass sqz_pass_layout = {
    .info = {.name = "layout", .doc = "channel-last inside, transposes where that is not possible"},
    .gives = SQZ_HAS_LAYOUT,
    .exact = true,
    .run = run,
};
